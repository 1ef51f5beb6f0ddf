/// A piece of OpenCL C that is embedded in the binary; each folder lists its own in `<Folder>Sources.swift`.
public struct KernelSource: Sendable, Hashable {
  /// The file's base name: what errors and profiles say.
  public let name: String
  private let bytes: [UInt8]

  init(_ name: String, _ bytes: [UInt8]) {
    self.name = name
    self.bytes = bytes
  }

  /// The file's text.
  public var text: String { String(decoding: bytes, as: UTF8.self) }

  public static func == (a: Self, b: Self) -> Bool { a.name == b.name }

  public func hash(into hasher: inout Hasher) { hasher.combine(name) }
}
