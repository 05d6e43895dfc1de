"""The public cohorts that can be fetched by name, one entry each, and the services they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from radiogenesis.errors import SettingError


@dataclass(frozen=True, kw_only=True)
class Services:
    """Where the public data lies; every address can be that of a mirror."""

    s3: str = "https://{bucket}.s3.amazonaws.com"
    """Address of a public bucket of Imaging Data Commons, `{bucket}` stands for its name; a mirror that speaks S3 is
    often `https://HOST/{bucket}`."""
    geo: str = "https://ftp.ncbi.nlm.nih.gov/geo"
    """Folder of GEO with `series/` in it."""
    geo_query: str = "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi"
    """Where GEO gives the table of a platform."""
    gdc: str = "https://api.gdc.cancer.gov"
    """The API of the Genomic Data Commons."""
    tcia: str = "https://www.cancerimagingarchive.net/wp-content/uploads"
    """Folder with the clinical tables and annotations of The Cancer Imaging Archive."""
    index: str = ""
    """Folder with another index of Imaging Data Commons (`idc_index.parquet`, `collections_index.parquet`); empty: the
    one in the package idc-index-data."""

    def __post_init__(self) -> None:
        if "{bucket}" not in self.s3:
            raise ValueError(f"s3 {self.s3!r}: must have {{bucket}} where the bucket's name belongs")


@dataclass(frozen=True, kw_only=True)
class GeoTable:
    """A supplementary file of a GEO series, which is the expression table.

    Attributes:
        series: accession.
        file: its name.
        genes: how many genes the table has.
    """

    series: str
    file: str
    genes: int


@dataclass(frozen=True, kw_only=True)
class GeoMatrix:
    """A GEO series matrix of probes.

    Attributes:
        series: accession.
        platform: accession; its table says which gene a probe measures.
        patient: pattern of a patient's id in the lines that describe a sample (its CEL file bears it).
    """

    series: str
    platform: str
    patient: str


@dataclass(frozen=True, kw_only=True)
class GdcCounts:
    """STAR counts of the tumors of these patients, from the Genomic Data Commons."""

    project: str


@dataclass(frozen=True, kw_only=True)
class PublicCohort:
    """One public cohort.

    Attributes:
        name: on the command line.
        collection: `collection_id` in Imaging Data Commons.
        modalities: what is fetched by default.
        outlined_by: modality of the original outlines; "" where a collection has none.
        expression: where it comes from; None where there is none.
        clinical, annotations: file names at TCIA; "" where there are none, or where they come with the expression.
        build: settings of `cohort build` that the cohort needs.
        citations: beside that of the collection, which the index knows.
        remark: what somebody who fetches it should know.
    """

    name: str
    collection: str
    modalities: tuple[str, ...] = ("CT",)
    outlined_by: str = ""
    expression: GeoTable | GeoMatrix | GdcCounts | None = None
    clinical: str = ""
    annotations: str = ""
    build: Mapping[str, bool | str] = field(default_factory=dict)
    citations: tuple[str, ...] = ()
    remark: str = ""


_GDC = (
    "Grossman, R. L., Heath, A. P., Ferretti, V., Varmus, H. E., Lowy, D. R., Kibbe, W. A., Staudt, L. M. (2016)."
    " Toward a shared vision for cancer genomic data. New England Journal of Medicine 375, 1109-1112.",
)
_LINEAR = {"log": True}  # TPM and FPKM are linear
_NO_OUTLINES = "nobody outlined the tumors: outline them, or fetch --analysis_results where there are any"
_NO_BRAIN_MR = (
    "Imaging Data Commons has no MR of it: TCIA gives head scans under its restricted license; put them into images/"
)


def _from_gdc(
    project: str,
    *,
    modalities: tuple[str, ...] = ("CT",),
    gdc_project: str = "",
    remark: str = _NO_OUTLINES,
    organ: str = "",
) -> PublicCohort:
    return PublicCohort(
        name=project.lower(),
        collection=project.lower().replace("-", "_"),
        modalities=modalities,
        expression=GdcCounts(project=gdc_project or project),
        build=_LINEAR | ({"organ": organ, "normalize": "zscore"} if organ else {}),
        citations=_GDC,
        remark=remark,
    )


COHORTS: Mapping[str, PublicCohort] = {
    cohort.name: cohort
    for cohort in (
        PublicCohort(
            name="nsclc-radiogenomics",
            collection="nsclc_radiogenomics",
            modalities=("CT", "SEG"),
            outlined_by="SEG",
            expression=GeoTable(series="GSE103584", file="GSE103584_R01_NSCLC_RNAseq.txt.gz", genes=22126),
            clinical="NSCLCR01Radiogenomic_DATA_LABELS_2018-05-22_1500-shifted.csv",
            annotations="AIM_files_updated-11-10-2020.zip",
            build=_LINEAR,
            citations=(
                "Bakr, S., Gevaert, O., Echegaray, S., et al. (2018). A radiogenomic dataset of non-small cell lung"
                " cancer. Scientific Data 5, 180202. https://doi.org/10.1038/sdata.2018.202 (GEO GSE103584)",
            ),
        ),
        PublicCohort(
            name="lung3",
            collection="nsclc_radiomics_genomics",
            expression=GeoMatrix(series="GSE58661", platform="GPL15048", patient=r"LUNG3-\d+"),
            citations=(
                "Aerts, H. J. W. L., Velazquez, E. R., Leijenaar, R. T. H., et al. (2014). Decoding tumour phenotype by"
                " noninvasive imaging using a quantitative radiomics approach. Nature Communications 5, 4006."
                " https://doi.org/10.1038/ncomms5006 (GEO GSE58661)",
            ),
            remark=_NO_OUTLINES,
        ),
        PublicCohort(
            name="nsclc-radiomics",
            collection="nsclc_radiomics",
            modalities=("CT", "RTSTRUCT"),
            outlined_by="RTSTRUCT",
            clinical="NSCLC-Radiomics-Lung1.clinical-version3-Oct-2019.csv",
            remark="no gene expression was published of it; its SEG are the outlines of its RTSTRUCT once more",
        ),
        _from_gdc("TCGA-LUAD"),
        _from_gdc("TCGA-LUSC"),
        _from_gdc("CPTAC-LUAD", gdc_project="CPTAC-3"),
        _from_gdc("CPTAC-LSCC", gdc_project="CPTAC-3"),
        _from_gdc("TCGA-GBM", modalities=("MR",), organ="brain", remark=_NO_BRAIN_MR),
        _from_gdc("TCGA-LGG", modalities=("MR",), organ="brain", remark=_NO_BRAIN_MR),
        _from_gdc("TCGA-BRCA", modalities=("MR",), organ="breast"),
    )
}


def public_cohort(name: str) -> PublicCohort:
    """The cohort of that name. Raises SettingError where there is none."""
    try:
        return COHORTS[name]
    except KeyError:
        raise SettingError(
            f"there is no public cohort {name!r} to fetch", remedy=f"choose from: {', '.join(COHORTS)}"
        ) from None


@dataclass(frozen=True, kw_only=True)
class FetchSettings:
    """What of a public cohort is fetched, and how."""

    patients: tuple[str, ...] = ()
    """Ids of the patients to fetch; empty: all."""
    studies: Literal["outlined", "all"] = "outlined"
    """Where people outlined tumors: the series of the studies in which one is outlined (`outlined`), or every series of
    the collection (`all`), scans without outlines too. Makes no difference where nobody outlined anything."""
    modalities: tuple[str, ...] = ()
    """DICOM modalities to fetch, such as CT SEG; empty: those that `cohort build` reads of this collection."""
    analysis_results: tuple[str, ...] = ()
    """Outlines that others, often a network, made of the collection later: `analysis_result_id` in the index, such as
    bamf_aimi_annotations; the original ones alone where empty. The plan names those that there are."""
    probes: bool = False
    """Keep the probes of a microarray instead of one row for each gene: of several probes of a gene the one with the
    highest mean over patients is kept, probes of several genes or none are left out."""
    all_genes: bool = False
    """Keep every gene of a GDC table (about 60,000) instead of those that code for proteins (about 20,000)."""
    connections: int = 8
    """Series that are fetched side by side."""
    tries: int = 5
    """How often a file is tried before it counts as failed; what failed is tried once more at the end."""
    timeout_s: float = 60.0
    """Seconds without an answer or a byte after which a connection counts as dropped."""
    recheck: bool = False
    """Compare what is there from an earlier call with its checksum again, instead of its size alone."""

    def __post_init__(self) -> None:
        if self.connections < 1 or self.tries < 1:
            raise ValueError("connections and tries: at least 1")
        if self.timeout_s <= 0:
            raise ValueError(f"timeout_s {self.timeout_s}: must be above 0")
