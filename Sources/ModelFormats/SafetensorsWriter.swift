import Basics

/// Builds a single safetensors file (format: Hugging Face's safetensors README).
///
/// Tensors are written in the order in which they were added, without holes, so the same calls give the same
/// bytes.
public struct SafetensorsWriter: Sendable {
  private let metadata: [String: String]
  private var tensors: [Entry] = []
  private var names: Set<String> = []

  private struct Entry: Sendable {
    let name: String
    let dtype: String
    let shape: Shape
    let bytes: [UInt8]
  }

  /// Begins a file; `metadata` becomes its `__metadata__`, where it is not empty.
  public init(metadata: [String: String] = [:]) { self.metadata = metadata }

  /// Adds a tensor of `shape` (outermost first, up to eight extents), its rows one after another in `bytes`.
  ///
  /// - Throws: `invalidArgument` where the name is there already or the shape, the type and the number of bytes
  ///   do not fit each other; `unsupported` for a type other than f32, f16 and bf16.
  public mutating func add(tensor name: String, dtype: DType, shape: Shape, bytes: [UInt8]) throws {
    guard let type = SafetensorsFile.types.first(where: { $0.value == dtype })?.key else {
      throw RetortError(
        .unsupported, "safetensors does not store \(dtype.rawValue)", field: name,
        remedy: "Write F32, F16 or BF16, or write a GGUF file.")
    }
    guard shape.rank <= 8, let count = shape.checkedCount, dtype.byteCount(elements: count) == bytes.count
    else {
      throw GGUFWriter.invalid(name, "\(bytes.count) bytes do not hold shape \(shape) of \(type)")
    }
    guard name != "__metadata__", names.insert(name).inserted else {
      throw GGUFWriter.invalid(name, "the name stands twice")
    }
    tensors.append(Entry(name: name, dtype: type, shape: shape, bytes: bytes))
  }

  /// The whole file as bytes.
  public func encoded() -> [UInt8] { tensors.reduce(into: header()) { $0.append(contentsOf: $1.bytes) } }

  /// Writes the file; nothing stands under `path` before it is complete.
  ///
  /// - Throws: `fileUnavailable` or `writeFailed`.
  public func write(to path: String) throws {
    let file = try AtomicFile(path: path)
    try header().withUnsafeBytes { try file.write(bytes: $0) }
    for tensor in tensors { try tensor.bytes.withUnsafeBytes { try file.write(bytes: $0) } }
    try file.commit()
  }

  /// The length and the JSON header, padded with spaces so that the tensors begin at a multiple of 8.
  private func header() -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }.map {
        JSONText.quoted($0.key) + ":" + JSONText.quoted($0.value)
      }
      members.append("\"__metadata__\":{" + pairs.joined(separator: ",") + "}")
    }
    var offset = 0
    for tensor in tensors {
      let extents = tensor.shape.extents.map(String.init).joined(separator: ",")
      let end = offset + tensor.bytes.count
      members.append(
        JSONText.quoted(tensor.name)
          + ":{\"dtype\":\"\(tensor.dtype)\",\"shape\":[\(extents)],\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var json = Array(("{" + members.joined(separator: ",") + "}").utf8)
    while json.count % 8 != 0 { json.append(UInt8(ascii: " ")) }
    var output: [UInt8] = []
    output.append(littleEndian: UInt64(json.count))
    return output + json
  }
}
