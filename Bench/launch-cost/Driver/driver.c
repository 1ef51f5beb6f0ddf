// The two calls of a launch, in the program and so before the OpenCL library's own: they are counted, and while
// the driver is idle they do nothing, so that what is left is the host layer's time.
#define _GNU_SOURCE
#include "driver.h"
#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl.h>
#include <dlfcn.h>
#include <time.h>

static bool is_idle = false;
static uint64_t arguments = 0, launches = 0;

void driver_set_idle(bool idle) { is_idle = idle; }
uint64_t driver_arguments(void) { return arguments; }
uint64_t driver_launches(void) { return launches; }

uint64_t driver_thread_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

cl_int clSetKernelArg(cl_kernel kernel, cl_uint index, size_t size, const void *value) {
  static cl_int (*next)(cl_kernel, cl_uint, size_t, const void *) = 0;
  if (!next) next = (cl_int (*)(cl_kernel, cl_uint, size_t, const void *))dlsym(RTLD_NEXT, "clSetKernelArg");
  arguments++;
  return is_idle ? CL_SUCCESS : next(kernel, index, size, value);
}

cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset,
                              const size_t *global, const size_t *local, cl_uint count, const cl_event *list,
                              cl_event *event) {
  static cl_int (*next)(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *,
                        cl_uint, const cl_event *, cl_event *) = 0;
  if (!next)
    next = (cl_int (*)(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *,
                       cl_uint, const cl_event *, cl_event *))dlsym(RTLD_NEXT, "clEnqueueNDRangeKernel");
  launches++;
  return is_idle ? CL_SUCCESS
                 : next(queue, kernel, dimensions, offset, global, local, count, list, event);
}
