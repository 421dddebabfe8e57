"""The home folder: paths, atomic files, disk reserve."""
