/// A piece of OpenCL C that is embedded in the binary; each folder lists its own in `<Folder>Sources.swift`.
///
/// There is one object a file, so sources are told apart by identity.
public final class KernelSource: Sendable, Hashable {
  /// The file's base name: what errors and profiles say.
  public let name: String
  /// What a program has before this file, in this order.
  public let base: [KernelSource]
  /// Whether it has instructions of `sm_90a` (Kernels/nvidia/warpgroup.opencl).
  public let needsSM90a: Bool
  /// Whether results are to have the bits that divisions to the nearest number give.
  public let roundsDivision: Bool
  private let bytes: [UInt8]

  init(
    _ name: String, _ bytes: [UInt8], after base: [KernelSource] = [], needsSM90a: Bool = false,
    roundsDivision: Bool = false
  ) {
    self.name = name
    self.base = base
    self.needsSM90a = needsSM90a
    self.roundsDivision = roundsDivision
    self.bytes = bytes
  }

  /// The file's text.
  public var text: String { String(decoding: bytes, as: UTF8.self) }

  /// The text of a program that ends with this file.
  public var programText: String { (base + [self]).map(\.text).joined(separator: "\n") }

  public static func == (a: KernelSource, b: KernelSource) -> Bool { a === b }

  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}
