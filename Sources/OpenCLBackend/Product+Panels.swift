import Basics
import OpenCLRuntime
import Tensors

/// Training's products with one operand in panels, for the CPU family.
extension OpenCLBackend {
  func multiplyPanels(
    _ operation: Product, _ operand: [KernelArgument], _ columns: [KernelArgument], _ result: [KernelArgument]
  ) throws {
    // The kernels' panel width, terms an item packs, and rows an item multiplies.
    let (panel, terms, rows) = (32, 64, tuning[.productCPU]["ROWS"])
    let count = (operation.n + panel - 1) / panel
    let panels = try context.makeBuffer(byteCount: count * operation.k * panel * 4)
    try launchItems(
      try library.kernel([.productPanels], "product_pack", "-DROWS=\(rows) "),
      columns + [
        .buffer("panels", panels), .uint("n", UInt32(operation.n)), .uint("K", UInt32(operation.k)),
      ], count, (operation.k + terms - 1) / terms)
    try launchItems(
      try library.kernel([.productPanels], "product_panels", "-DROWS=\(rows) "),
      operand + [.buffer("panels", panels)] + result, (operation.m + rows - 1) / rows, count)
  }
}
