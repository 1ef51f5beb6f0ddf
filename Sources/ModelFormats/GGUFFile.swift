import Basics

/// A tensor's place in a model file.
public struct TensorInfo: Sendable, Hashable {
  public let name: String
  public let dtype: DType
  /// Outermost first: `[out, in]` for a matrix.
  public let shape: Shape
  /// Bytes in the file.
  public let range: Range<Int>
}

/// A GGUF file, versions 2 and 3, mapped into memory
/// (format: ggml's `docs/gguf.md`).
///
/// Everything is checked on opening: a value that was accepted can be read without further checks.
public final class GGUFFile: Sendable {
  public let path: String
  public let version: UInt32
  public let metadata: [String: GGUFValue]
  /// In the file's order.
  public let tensors: [TensorInfo]
  private let tensorsByName: [String: Int]
  private let file: MappedFile

  /// Opens and checks a file.
  ///
  /// - Throws: `fileUnavailable`, or `malformedFile` and `unsupported` naming field and position.
  public init(path: String) throws {
    self.path = path
    file = try MappedFile(path: path)
    var reader = ByteReader(file.bytes, file: path)
    version = try GGUFFile.header(&reader)
    let tensorCount = try reader.count("tensor_count", itemBytes: 24)
    let metadataCount = try reader.count("metadata_kv_count", itemBytes: 13)
    metadata = try GGUFFile.metadata(&reader, count: metadataCount)
    let alignment = try GGUFFile.alignment(metadata, path: path)
    var infos: [(name: String, dtype: DType, shape: Shape, offset: UInt64, bytes: Int)] = []
    infos.reserveCapacity(tensorCount)
    for _ in 0..<tensorCount { infos.append(try GGUFFile.tensorInfo(&reader)) }
    let base = (reader.offset + alignment - 1) / alignment * alignment
    var tensors: [TensorInfo] = []
    var byName: [String: Int] = [:]
    for info in infos {
      guard byName.updateValue(tensors.count, forKey: info.name) == nil else {
        throw GGUFFile.malformed(path, info.name, "the name stands twice")
      }
      guard info.offset % UInt64(alignment) == 0 else {
        throw GGUFFile.malformed(path, info.name, "offset \(info.offset) is not a multiple of \(alignment)")
      }
      guard base <= reader.bytes.count, info.offset <= UInt64(reader.bytes.count - base),
        info.bytes <= reader.bytes.count - base - Int(info.offset)
      else {
        throw GGUFFile.malformed(
          path, info.name, "\(info.bytes) bytes at offset \(info.offset) leave the file")
      }
      let start = base + Int(info.offset)
      tensors.append(
        TensorInfo(name: info.name, dtype: info.dtype, shape: info.shape, range: start..<start + info.bytes))
    }
    try GGUFFile.checkOverlap(tensors, path: path)
    self.tensors = tensors
    tensorsByName = byName
  }

  public func tensor(named name: String) -> TensorInfo? { tensorsByName[name].map { tensors[$0] } }

  /// The tensor's bytes; valid while the file is referenced.
  public func bytes(of tensor: TensorInfo) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: file.bytes[tensor.range])
  }

  /// Lets the system drop the tensor's pages from memory.
  public func release(_ tensor: TensorInfo) { file.release(tensor.range) }

  func reader(at offset: Int) -> ByteReader { ByteReader(file.bytes, file: path, offset: offset) }

  // MARK: Parts

  private static func header(_ reader: inout ByteReader) throws -> UInt32 {
    let magic = try reader.integer(UInt32.self, "magic")
    guard magic == 0x4655_4747 else {
      throw RetortError(
        .malformedFile, "not a GGUF file: it does not begin with “GGUF”", file: reader.file, field: "magic",
        position: "byte 0", remedy: "Give a .gguf file, or a folder with config.json and safetensors.")
    }
    let version = try reader.integer(UInt32.self, "version")
    guard version == 2 || version == 3 else {
      let swapped = version.byteSwapped == 2 || version.byteSwapped == 3
      throw RetortError(
        .unsupported, swapped ? "a big-endian GGUF file" : "GGUF version \(version)", file: reader.file,
        field: "version", position: "byte 4", remedy: "Convert the model to little-endian GGUF version 3.")
    }
    return version
  }

  private static func metadata(_ reader: inout ByteReader, count: Int) throws -> [String: GGUFValue] {
    var metadata: [String: GGUFValue] = [:]
    for index in 0..<count {
      let at = reader.offset
      let key = try reader.string("metadata key \(index)")
      let type = try reader.type(key)
      guard metadata.updateValue(try reader.value(type, key), forKey: key) == nil else {
        throw RetortError(
          .malformedFile, "the key stands twice", file: reader.file, field: key, position: "byte \(at)",
          remedy: RetortError.fetchAgain)
      }
    }
    return metadata
  }

  private static func alignment(_ metadata: [String: GGUFValue], path: String) throws -> Int {
    guard let value = metadata["general.alignment"] else { return 32 }
    guard case .integer(let alignment) = value, alignment >= 8, alignment <= 1 << 20,
      alignment & (alignment - 1) == 0
    else {
      throw malformed(path, "general.alignment", "not a power of two from 8 up")
    }
    return Int(alignment)
  }

  private static func tensorInfo(_ reader: inout ByteReader) throws
    -> (name: String, dtype: DType, shape: Shape, offset: UInt64, bytes: Int)
  {
    let name = try reader.string("tensor name")
    let rank = try reader.integer(UInt32.self, name)
    guard rank >= 1, rank <= 4 else { throw malformed(reader.file, name, "\(rank) dimensions") }
    var extents: [Int] = []
    for _ in 0..<rank {
      let extent = try reader.integer(UInt64.self, name)
      guard extent > 0, let value = Int(exactly: extent) else {
        throw malformed(reader.file, name, "an extent of \(extent)")
      }
      extents.append(value)
    }
    let rawType = try reader.integer(UInt32.self, name)
    guard let dtype = DType(gguf: rawType) else {
      throw RetortError(
        .unsupported, "tensor type \(rawType)", file: reader.file, field: name,
        remedy: "Use a model in f32, f16, bf16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K or Q6_K.")
    }
    let shape = Shape(extents.reversed())
    guard extents[0] % dtype.blockSize == 0, let count = shape.checkedCount,
      let bytes = dtype.byteCount(elements: count)
    else {
      throw malformed(reader.file, name, "shape \(shape) does not fit blocks of \(dtype.rawValue)")
    }
    return (name, dtype, shape, try reader.integer(UInt64.self, name), bytes)
  }

  private static func checkOverlap(_ tensors: [TensorInfo], path: String) throws {
    let sorted = tensors.sorted { $0.range.lowerBound < $1.range.lowerBound }
    for (first, second) in zip(sorted, sorted.dropFirst())
    where first.range.upperBound > second.range.lowerBound {
      throw malformed(path, second.name, "its bytes overlap those of \(first.name)")
    }
  }

  static func malformed(_ path: String, _ field: String, _ message: String) -> RetortError {
    RetortError(.malformedFile, message, file: path, field: field, remedy: RetortError.fetchAgain)
  }
}

extension DType {
  /// The number that ggml gives the type.
  var gguf: UInt32 {
    switch self {
    case .f32: 0
    case .f16: 1
    case .q4_0: 2
    case .q4_1: 3
    case .q5_0: 6
    case .q5_1: 7
    case .q8_0: 8
    case .q4_K: 12
    case .q5_K: 13
    case .q6_K: 14
    case .i32: 26
    case .bf16: 30
    }
  }

  /// The type with ggml's number.
  init?(gguf raw: UInt32) {
    guard let type = DType.allCases.first(where: { $0.gguf == raw }) else { return nil }
    self = type
  }
}
