/// What a device reaches at best, as measured on it: the yardstick of a profile.
public struct Ceilings: Sendable, Hashable {
  /// Operations a second of the fastest arithmetic that was measured.
  public let flopsPerSecond: Double
  public let bytesPerSecond: Double
  /// How both were measured, for people.
  public let source: String

  public init(flopsPerSecond: Double, bytesPerSecond: Double, source: String) {
    (self.flopsPerSecond, self.bytesPerSecond, self.source) = (flopsPerSecond, bytesPerSecond, source)
  }

  /// The least time for this much arithmetic and memory, in nanoseconds.
  func floorNanoseconds(flops: Int, bytes: Int) -> Double {
    max(Double(flops) / flopsPerSecond, Double(bytes) / bytesPerSecond) * 1e9
  }
}

/// A profile's sums, sorted and put in relation: for people (``text``) and for machines (``object``).
public struct ProfileReport: Sendable {
  /// A kernel for an operation, an operation that the host computed itself, or a kind of copy.
  public struct Row: Sendable {
    public let operation: String
    public let kernel: ProfiledKernel?
    /// Options in which the kernel differs from others of its name.
    public var variant = ""
    public let calls: Int
    public let nanoseconds: UInt64
    /// Of the time of all rows.
    public let share: Double
    /// By what the operation states; nil for kernels that only help another, and for copies' arithmetic.
    public var flopsPerSecond: Double?
    public var bytesPerSecond: Double?
    /// The least time by the ceilings over the time taken.
    public var ceilingShare: Double?

    /// The operation and, where it has another name, the kernel.
    public var name: String {
      guard let kernel else { return operation }
      return (kernel.name == operation ? operation : operation + ": " + kernel.name) + variant
    }
  }

  public let device: String
  public let rows: [Row]
  public let ceilings: Ceilings?
  /// Nanoseconds of all rows, and from the first start to the last end.
  public let totalNanoseconds: UInt64
  public let wallNanoseconds: UInt64
  public let queue: QueueTimes
  /// The row that is furthest from what the ceilings allow, of those that take a fiftieth of the time or more.
  public let furthest: Row?

  /// - Parameter ceilings: nil where none were measured; rows then stand without shares of them.
  public init(_ profiler: Profiler, device: String, ceilings: Ceilings?) {
    self.device = device
    self.ceilings = ceilings
    queue = profiler.queue
    let kernelTotals = profiler.kernelTotals
    let byKernels = Set(kernelTotals.map(\.operation))
    let copies = profiler.copies.values.reduce(0) { $0 + $1.nanoseconds }
    let all = profiler.totals.values.reduce(copies) { $0 + $1.nanoseconds }
    totalNanoseconds = all
    wallNanoseconds = profiler.span.map { $0.end - $0.start } ?? 0
    let variants = Self.variants(profiler.kernels)
    func row(
      _ operation: String, _ kernel: Int?, _ calls: Int, _ time: UInt64, flops: Int, bytes: Int,
      workTime: UInt64
    ) -> Row {
      var row = Row(
        operation: operation, kernel: kernel.map { profiler.kernels[$0] }, calls: calls, nanoseconds: time,
        share: Double(time) / max(1, Double(all)))
      row.variant = kernel.map { variants[$0] } ?? ""
      guard workTime > 0 else { return row }
      let time = Double(workTime)
      row.flopsPerSecond = flops > 0 ? Double(flops) / time * 1e9 : nil
      row.bytesPerSecond = bytes > 0 ? Double(bytes) / time * 1e9 : nil
      if flops > 0 || bytes > 0 {
        row.ceilingShare = ceilings.map { $0.floorNanoseconds(flops: flops, bytes: bytes) / time }
      }
      return row
    }
    var rows = kernelTotals.map {
      row(
        $0.operation, $0.kernel, $0.calls, $0.nanoseconds, flops: $0.flops, bytes: $0.bytes,
        workTime: $0.workNanoseconds)
    }
    for (name, total) in profiler.totals where !byKernels.contains(name) {
      let time = total.nanoseconds
      rows.append(row(name, nil, total.calls, time, flops: total.flops, bytes: total.bytes, workTime: time))
    }
    for (name, total) in profiler.copies {
      let time = total.nanoseconds
      rows.append(row(name, nil, total.calls, time, flops: 0, bytes: total.bytes, workTime: time))
    }
    // Names settle ties, so that equal profiles print alike.
    self.rows = rows.sorted { ($1.nanoseconds, $0.name) < ($0.nanoseconds, $1.name) }
    furthest = self.rows.filter {
      $0.share >= 0.02 && $0.ceilingShare != nil && profiler.copies[$0.name] == nil
    }
    .min { ($0.ceilingShare ?? 0) < ($1.ceilingShare ?? 0) }
  }

  /// For each kernel the options that not all kernels of its name share, such as " ROWS=8".
  static func variants(_ kernels: [ProfiledKernel]) -> [String] {
    func options(_ kernel: ProfiledKernel) -> [Substring] { kernel.options.split(separator: " ") }
    var common: [String: Set<Substring>] = [:]
    for kernel in kernels {
      common[kernel.name] = common[kernel.name]?.intersection(options(kernel)) ?? Set(options(kernel))
    }
    return kernels.map { kernel in
      let own = options(kernel).filter { common[kernel.name]?.contains($0) == false }
      return own.map { " " + ($0.hasPrefix("-D") ? $0.dropFirst(2) : $0) }.joined()
    }
  }
}
