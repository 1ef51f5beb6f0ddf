// Embedded OpenCL sources.
