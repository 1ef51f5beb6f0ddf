import Basics
import OpenCLRuntime
import Tensors

/// Training's products through local memory, for the GPU family.
extension OpenCLBackend {
  func multiplyTiled(
    _ operation: Product, _ operand: [KernelArgument], _ columns: [KernelArgument], _ result: [KernelArgument]
  ) throws {
    let tile = 64
    try context.launch(
      try library.kernel(.productTiled, "product_tiled", ""), operand + columns + result,
      global: ((operation.n + tile - 1) / tile * 16, (operation.m + tile - 1) / tile * 16, 1),
      local: (16, 16, 1))
  }
}
