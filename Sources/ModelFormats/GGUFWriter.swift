import Basics

/// Builds a GGUF file, version 3 (format: ggml's `docs/gguf.md`).
///
/// Keys and tensors are written in the order in which they were added, so the same calls give the same bytes.
public struct GGUFWriter: Sendable {
  private var metadata: [(key: String, value: GGUFWriterValue)] = []
  private var tensors: [Entry] = []
  private var keys: Set<String> = []
  private var names: Set<String> = []
  private let alignment: Int

  private struct Entry: Sendable {
    let name: String
    let dtype: DType
    let shape: Shape
    let bytes: [UInt8]
  }

  /// Begins a file whose tensors start at multiples of `alignment` bytes; any other than 32 is written as
  /// `general.alignment`.
  ///
  /// - Throws: `invalidArgument` where the alignment is not a power of two from 8 to 2²⁰.
  public init(alignment: Int = 32) throws {
    guard alignment >= 8, alignment <= 1 << 20, alignment & (alignment - 1) == 0 else {
      throw GGUFWriter.invalid("general.alignment", "\(alignment) is not a power of two from 8 to 2²⁰")
    }
    self.alignment = alignment
    keys.insert("general.alignment")
    if alignment != 32 { metadata.append(("general.alignment", .uint32(UInt32(alignment)))) }
  }

  /// Adds a metadata value.
  ///
  /// - Throws: `invalidArgument` where the key is there already, or where an array's element is not of the
  ///   array's type or lies deeper than four arrays.
  public mutating func add(_ key: String, _ value: GGUFWriterValue) throws {
    try value.validate(key)
    guard keys.insert(key).inserted else { throw GGUFWriter.invalid(key, "the key stands twice") }
    metadata.append((key, value))
  }

  /// Adds a tensor of `shape` (outermost first, one to four extents), its rows one after another in `bytes`.
  ///
  /// - Throws: `invalidArgument` where the name is there already or the shape, the type and the number of bytes
  ///   do not fit each other.
  public mutating func add(tensor name: String, dtype: DType, shape: Shape, bytes: [UInt8]) throws {
    guard (1...4).contains(shape.rank), shape.extents.allSatisfy({ $0 > 0 }),
      shape[shape.rank - 1] % dtype.blockSize == 0, let count = shape.checkedCount,
      dtype.byteCount(elements: count) == bytes.count
    else {
      throw GGUFWriter.invalid(name, "\(bytes.count) bytes do not hold shape \(shape) of \(dtype.rawValue)")
    }
    guard names.insert(name).inserted else { throw GGUFWriter.invalid(name, "the tensor stands twice") }
    tensors.append(Entry(name: name, dtype: dtype, shape: shape, bytes: bytes))
  }

  /// The whole file as bytes.
  public func encoded() -> [UInt8] {
    var output = header()
    for tensor in tensors {
      output.append(contentsOf: tensor.bytes)
      output.append(contentsOf: padding(output.count))
    }
    return output
  }

  /// Writes the file; nothing stands under `path` before it is complete.
  ///
  /// - Throws: `fileUnavailable` or `writeFailed`.
  public func write(to path: String) throws {
    let file = try AtomicFile(path: path)
    try header().withUnsafeBytes { try file.write(bytes: $0) }
    for tensor in tensors {
      try tensor.bytes.withUnsafeBytes { try file.write(bytes: $0) }
      try padding(tensor.bytes.count).withUnsafeBytes { try file.write(bytes: $0) }
    }
    try file.commit()
  }

  /// Everything before the first tensor's bytes, padded to the alignment.
  private func header() -> [UInt8] {
    var output: [UInt8] = Array("GGUF".utf8)
    output.append(littleEndian: UInt32(3))
    output.append(littleEndian: UInt64(tensors.count))
    output.append(littleEndian: UInt64(metadata.count))
    for (key, value) in metadata {
      output.append(gguf: key)
      output.append(littleEndian: value.type.rawValue)
      value.append(to: &output)
    }
    var offset = 0
    for tensor in tensors {
      output.append(gguf: tensor.name)
      output.append(littleEndian: UInt32(tensor.shape.rank))
      for extent in tensor.shape.extents.reversed() { output.append(littleEndian: UInt64(extent)) }
      output.append(littleEndian: tensor.dtype.gguf)
      output.append(littleEndian: UInt64(offset))
      offset += tensor.bytes.count + padding(tensor.bytes.count).count
    }
    output.append(contentsOf: padding(output.count))
    return output
  }

  /// The zeros that follow `count` bytes up to the next multiple of the alignment.
  private func padding(_ count: Int) -> [UInt8] {
    [UInt8](repeating: 0, count: (alignment - count % alignment) % alignment)
  }

  static func invalid(_ field: String, _ message: String) -> RetortError {
    RetortError(
      .invalidArgument, message, field: field,
      remedy: "Give each key and tensor once, with a shape that fits its bytes.")
  }
}

/// A metadata value as it is written, with its exact type.
public indirect enum GGUFWriterValue: Sendable {
  case uint8(UInt8)
  case int8(Int8)
  case uint16(UInt16)
  case int16(Int16)
  case uint32(UInt32)
  case int32(Int32)
  case uint64(UInt64)
  case int64(Int64)
  case float32(Float)
  case float64(Double)
  case bool(Bool)
  case string(String)
  /// Values that are all of one type.
  case array(of: GGUFType, [GGUFWriterValue])

  public static func strings(_ values: [String]) -> GGUFWriterValue {
    .array(of: .string, values.map { .string($0) })
  }

  public static func int32s(_ values: [Int32]) -> GGUFWriterValue {
    .array(of: .int32, values.map { .int32($0) })
  }

  public static func float32s(_ values: [Float]) -> GGUFWriterValue {
    .array(of: .float32, values.map { .float32($0) })
  }

  /// The type as the file names it.
  public var type: GGUFType {
    switch self {
    case .uint8: .uint8
    case .int8: .int8
    case .uint16: .uint16
    case .int16: .int16
    case .uint32: .uint32
    case .int32: .int32
    case .uint64: .uint64
    case .int64: .int64
    case .float32: .float32
    case .float64: .float64
    case .bool: .bool
    case .string: .string
    case .array: .array
    }
  }

  fileprivate func validate(_ key: String, depth: Int = 0) throws {
    guard case .array(let type, let values) = self else { return }
    guard depth < 4 else { throw GGUFWriter.invalid(key, "arrays nested deeper than 4") }
    for value in values {
      guard value.type == type else {
        throw GGUFWriter.invalid(key, "a value of type \(value.type) in an array of \(type)")
      }
      try value.validate(key, depth: depth + 1)
    }
  }

  fileprivate func append(to output: inout [UInt8]) {
    switch self {
    case .uint8(let value): output.append(value)
    case .int8(let value): output.append(littleEndian: value)
    case .uint16(let value): output.append(littleEndian: value)
    case .int16(let value): output.append(littleEndian: value)
    case .uint32(let value): output.append(littleEndian: value)
    case .int32(let value): output.append(littleEndian: value)
    case .uint64(let value): output.append(littleEndian: value)
    case .int64(let value): output.append(littleEndian: value)
    case .float32(let value): output.append(littleEndian: value.bitPattern)
    case .float64(let value): output.append(littleEndian: value.bitPattern)
    case .bool(let value): output.append(value ? 1 : 0)
    case .string(let value): output.append(gguf: value)
    case .array(let type, let values):
      output.append(littleEndian: type.rawValue)
      output.append(littleEndian: UInt64(values.count))
      for value in values { value.append(to: &output) }
    }
  }
}

extension [UInt8] {
  mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }

  /// A string as GGUF stores it: a 64-bit length, then UTF-8.
  fileprivate mutating func append(gguf text: String) {
    append(littleEndian: UInt64(text.utf8.count))
    append(contentsOf: text.utf8)
  }
}
