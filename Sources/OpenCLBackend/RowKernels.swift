import Kernels
import OpenCLRuntime
import Tensors

/// How the row kernels are shaped: floats in a vector, items in a row's group, columns of an elementwise item.
struct RowOptions {
  let vector: Int
  let group: Int
  let segment: Int

  var options: String { "-DVEC=\(vector) -DGROUP=\(group) -DSEGMENT=\(segment) " }

  func segments(_ width: Int) -> Int { (width + segment - 1) / segment }
}

/// The row kernels: one source for both families, shaped by macros (Kernels/common/vector_math.opencl).
extension OpenCLBackend {
  /// The shape of the row kernels on this family.
  var rowOptions: RowOptions {
    family == .cpu
      ? RowOptions(vector: 16, group: 1, segment: tuning[.elementwiseCPU]["SEGMENT"])
      : RowOptions(
        vector: 4, group: tuning[.normsGPU]["GROUP"], segment: tuning[.elementwiseGPU]["SEGMENT"])
  }

  /// A kernel of the row family.
  ///
  /// - Parameters:
  ///   - places: offsets and strides of all that the kernel reads in vectors; where they are whole vectors, a vector
  ///     is loaded at once.
  ///   - width: of the rows that it reads and writes.
  ///   - held: of the rows that an item keeps between passes, for kernels that do.
  func rowKernel(
    _ source: KernelSource, _ name: String, at places: [UInt32] = [], width: Int, held: Int? = nil,
    _ extra: String = ""
  ) throws -> OpenCLKernel {
    var options = rowOptions.options + extra
    if family == .gpu {
      let vector = rowOptions.vector
      let whole = width % vector == 0 && places.allSatisfy { Int($0) % vector == 0 }
      options += "-DALIGNED=\(whole ? 1 : 0) "
      if let held { options += "-DHELD=\(heldVectors(held)) " }
      options += exchangeOptions(rowOptions.group)
    }
    return try library.kernel([.lanes, .vectorMath, source], name, options)
  }

  /// Vectors of a row that an item keeps in registers, a power of two; 0 for rows too wide for that.
  private func heldVectors(_ width: Int) -> Int {
    let columns = rowOptions.group * rowOptions.vector
    let vectors = (width + columns - 1) / columns
    return [1, 2, 4, 8].first { vectors <= $0 } ?? 0
  }

  /// How the items of a group exchange what they add up: by a warp's or subgroup's shuffles, or else local memory.
  func exchangeOptions(_ group: Int) -> String {
    if features.warpInstructions == .ptx { return "-DWARP=1 " }
    // Wider subgroups make Intel's compiler for CPUs several times slower.
    let size = [16, 8, 32].first { features.subgroupSizes.contains($0) && $0 <= group }
    return size.map { "-DSUBGROUP=\($0) " } ?? ""
  }

  /// Launches a kernel with one group a row (or a row and chunk).
  func launchGroups(_ kernel: OpenCLKernel, _ arguments: [KernelArgument], _ x: Int, _ y: Int) throws {
    let group = rowOptions.group
    try context.launch(kernel, arguments, global: (x * group, y, 1), local: (group, 1, 1))
  }

  /// Launches a kernel of which every item stands alone and those from `x` on do nothing, in `y` rows.
  ///
  /// Groups are of one size, since a driver left to choose takes one that divides `x`, which may be 1.
  func launchColumns(_ kernel: OpenCLKernel, _ arguments: [KernelArgument], _ x: Int, _ y: Int = 1) throws {
    let group = family == .cpu ? 1 : 64
    try context.launch(
      kernel, arguments, global: ((x + group - 1) / group * group, y, 1), local: (group, 1, 1))
  }
}

extension FloatView {
  /// What must be whole vectors for the view's rows to lie at them.
  var places: [UInt32] { [offset, stride] }
}
