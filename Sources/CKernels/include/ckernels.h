int retort_kernels_placeholder(void);
