//! Matrix products and other inner loops: one plain reference, one file per instruction set, dispatch at run time.
