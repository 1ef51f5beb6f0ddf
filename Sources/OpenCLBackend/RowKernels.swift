import Kernels
import OpenCLRuntime
import Tensors

/// How the row kernels are shaped: floats in a vector, items in a row's group, columns of an elementwise item.
struct RowOptions {
  let vector: Int
  let group: Int
  let segment: Int
  /// The options of every shape that a row can have: by ``HeldVectors``, for rows that are no whole vectors and for
  /// those that are. One for all on the CPU family.
  private let shapes: [KernelOptions]

  /// Vectors that an item keeps between passes: a kernel that keeps none, rows too wide for it, or a power of two.
  private static let heldVectors: [Int?] = [nil, 0, 1, 2, 4, 8]

  init(_ tuning: Tuning, _ family: KernelFamily, _ features: KernelFeatures) {
    switch family {
    case .cpu:
      (vector, group, segment) = (16, 1, tuning[.elementwiseCPU]["SEGMENT"])
    case .gpu:
      (vector, group) = (4, tuning[.normsGPU]["GROUP"])
      segment = tuning[.elementwiseGPU]["SEGMENT"]
    }
    let common: KernelOptions = "-DVEC=\(vector) -DGROUP=\(group) -DSEGMENT=\(segment) "
    guard family == .gpu else {
      shapes = [common]
      return
    }
    let exchange = Self.exchange(features, group)
    shapes = Self.heldVectors.flatMap { held in
      [0, 1].map { aligned in
        let kept: KernelOptions = held.map { "-DHELD=\($0) " } ?? ""
        return common + "-DALIGNED=\(aligned) " + kept + exchange
      }
    }
  }

  /// - Parameters:
  ///   - places: the bits of all offsets and strides at which vectors are read.
  ///   - width: of the rows.
  ///   - held: of the rows that an item keeps between passes, for kernels that do.
  func options(places: UInt32, width: Int, held: Int?) -> KernelOptions {
    guard shapes.count > 1 else { return shapes[0] }
    let whole = width % vector == 0 && Int(places) % vector == 0
    return shapes[2 * shape(held) + (whole ? 1 : 0)]
  }

  /// Where rows of this width stand in ``heldVectors``.
  private func shape(_ held: Int?) -> Int {
    guard let held else { return 0 }
    let vectors = (held + group * vector - 1) / (group * vector)
    return vectors <= 1 ? 2 : vectors <= 2 ? 3 : vectors <= 4 ? 4 : vectors <= 8 ? 5 : 1
  }

  /// How the items of a group exchange what they add up: by a warp's or subgroup's shuffles, or else local memory.
  private static func exchange(_ features: KernelFeatures, _ group: Int) -> KernelOptions {
    if features.warpInstructions == .ptx { return "-DWARP=1 " }
    // Wider subgroups make Intel's compiler for CPUs several times slower.
    let size = [16, 8, 32].first { features.subgroupSizes.contains($0) && $0 <= group }
    return size.map { "-DSUBGROUP=\($0) " } ?? ""
  }

  func segments(_ width: Int) -> Int { (width + segment - 1) / segment }
}

/// The row kernels: one source for both families, shaped by macros (Kernels/common/vector_math.opencl).
extension OpenCLBackend {
  /// The shape of the row kernels on this family.
  var rowOptions: RowOptions { tuned.rows }

  /// A kernel of the row family.
  ///
  /// - Parameters:
  ///   - places: the bits of offsets and strides of all that the kernel reads in vectors, put together by `|`; where
  ///     they are whole vectors, a vector is loaded at once.
  ///   - width: of the rows that it reads and writes.
  ///   - held: of the rows that an item keeps between passes, for kernels that do.
  func rowKernel(
    _ source: KernelSource, _ name: StaticString, at places: UInt32 = 0, width: Int, held: Int? = nil,
    _ extra: KernelOptions = ""
  ) throws -> OpenCLKernel {
    try library.kernel(
      source, name, tuned.rows.options(places: places, width: width, held: held) + extra)
  }

  /// Launches a kernel with one group a row (or a row and chunk); the row is GROUP_ROW
  /// (vector_math.opencl).
  func launchGroups(_ kernel: OpenCLKernel, _ arguments: [KernelArgument], _ x: Int, _ y: Int) throws {
    let group = rowOptions.group
    try context.launch(kernel, arguments, global: (x * group, y, 1), local: (group, 1, 1), inParts: true)
  }

  /// Launches a kernel of which every item stands alone and those from `x` on do nothing, in `y` rows: the row is
  /// `get_global_id(1)`.
  ///
  /// Groups are of one size, since a driver left to choose takes one that divides `x`, which may be 1.
  func launchColumns(_ kernel: OpenCLKernel, _ arguments: [KernelArgument], _ x: Int, _ y: Int = 1) throws {
    let group = family == .cpu ? 1 : 64
    try context.launch(
      kernel, arguments, global: ((x + group - 1) / group * group, y, 1), local: (group, 1, 1), inParts: true)
  }
}

extension FloatView {
  /// The bits of what must be whole vectors for the view's rows to lie at them.
  var places: UInt32 { offset | stride }
}
