"""accelsim: what selective recomputation costs a real accelerator, in cycles and joules."""
