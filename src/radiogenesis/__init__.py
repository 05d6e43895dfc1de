"""radiogenesis: which genes show in a scan, and how would this tumour look if they changed?"""

from importlib.metadata import version

__version__ = version("radiogenesis")
