import Basics

/// A matrix in NumPy's `.npy` format, version 1.0, written row by row; it takes its name only when complete.
public final class NumPyFile {
  /// How elements are stored.
  public enum Element: String, Sendable, CaseIterable { case float32, float16 }

  public let path: String
  public let width: Int
  public let element: Element
  public private(set) var rows = 0
  private let file: AtomicFile
  /// The header's room, enough for any number of rows, so that it can be written last.
  private static let headerBytes = 128

  /// - Throws: `fileUnavailable` where the folder cannot be written; `invalidArgument` where the name is an input's.
  public init(path: String, width: Int, element: Element, madeFrom inputs: [String] = []) throws {
    self.path = path
    self.width = width
    self.element = element
    file = try AtomicFile(path: path, madeFrom: inputs)
    try file.write(String(repeating: " ", count: NumPyFile.headerBytes))
  }

  /// Appends whole rows; throws `writeFailed` where the disk is full.
  public func append(_ values: [Float]) throws {
    rows += values.count / max(1, width)
    switch element {
    case .float32: try values.withUnsafeBytes { try file.write(bytes: $0) }
    case .float16:
      try values.map { Float16($0) }.withUnsafeBytes { try file.write(bytes: $0) }
    }
  }

  /// Writes the header and gives the file its name.
  public func commit() throws {
    let type = element == .float32 ? "<f4" : "<f2"
    var text = "{'descr': '\(type)', 'fortran_order': False, 'shape': (\(rows), \(width)), }"
    let room = NumPyFile.headerBytes - 10
    text += String(repeating: " ", count: max(0, room - 1 - text.utf8.count)) + "\n"
    let header: [UInt8] =
      [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(room & 255), UInt8(room >> 8)] + Array(text.utf8)
    try header.withUnsafeBytes { try file.overwrite(at: 0, bytes: $0) }
    try file.commit()
  }
}
