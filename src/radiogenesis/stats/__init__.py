"""Statistics that know no image: resampling, association and multiple testing, metagenes."""
