import COpenCL

extension OpenCLKernel {
  /// The number of items that a group's size should be a multiple of, as the driver says for this kernel.
  func preferredGroupMultiple(_ device: OpenCLDevice) throws -> Int {
    var value = 0
    try OpenCLStatus.check(
      clGetKernelWorkGroupInfo(
        handle, device.handle, cl_kernel_work_group_info(CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE),
        MemoryLayout<Int>.size, &value, nil),
      "clGetKernelWorkGroupInfo", field: name)
    return value
  }
}
