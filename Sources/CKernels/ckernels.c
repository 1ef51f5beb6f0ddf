#include "ckernels.h"
int retort_kernels_placeholder(void) { return 0; }
