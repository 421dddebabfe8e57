"""From a data source to prepared splits and preprocessing layers."""
