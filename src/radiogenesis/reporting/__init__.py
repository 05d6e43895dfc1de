"""Figures and the HTML report; takes tables and pictures, knows no method."""
