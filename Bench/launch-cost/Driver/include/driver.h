#pragma once
#include <stdbool.h>
#include <stdint.h>

/// Whether the calls that launch kernels reach the driver, or succeed at once.
void driver_set_idle(bool idle);
/// Arguments set since the program started, and kernels launched.
uint64_t driver_arguments(void);
uint64_t driver_launches(void);
/// Processor time of the calling thread in nanoseconds.
uint64_t driver_thread_nanoseconds(void);
