"""From a scan to what is kept of it: upright, lungs, slices of lesions and of healthy lung, whole slices."""
