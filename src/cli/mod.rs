//! The command line: arguments -> command, one file each.
