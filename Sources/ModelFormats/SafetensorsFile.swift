import Basics
import Foundation

/// A safetensors file mapped into memory (format: Hugging Face's safetensors README).
public final class SafetensorsFile: Sendable {
  public let path: String
  public let tensors: [String: TensorInfo]
  private let file: MappedFile

  static let headerLimit = 100 << 20
  /// The types that are read and written, by the format's names.
  static let types: [String: DType] = ["F32": .f32, "F16": .f16, "BF16": .bf16]

  /// Bytes of types that hold no weights (position ids, step counters): checked like the others, and left out.
  private static let uncounted = [
    "BOOL": 1, "I8": 1, "U8": 1, "I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8,
  ]

  /// Opens and checks a file; tensors of whole numbers or truth values are checked and left out of ``tensors``.
  ///
  /// - Throws: `fileUnavailable`, or `malformedFile` and `unsupported` naming the tensor.
  public init(path: String) throws {
    self.path = path
    file = try MappedFile(path: path)
    var reader = ByteReader(file.bytes, file: path)
    let length = try reader.count("header length", itemBytes: 1)
    guard length <= SafetensorsFile.headerLimit else {
      throw GGUFFile.malformed(path, "header length", "\(length) bytes is over 100 MiB")
    }
    let header = try JSONFile(Data(file.bytes[8..<8 + length]), path: path)
    let base = 8 + length
    guard SafetensorsFile.memberCount(file.bytes[8..<base]) == header.root.count else {
      throw GGUFFile.malformed(path, "header", "a tensor's name stands twice")
    }
    var tensors: [String: TensorInfo] = [:]
    var ranges: [(name: String, range: Range<Int>)] = []
    for (name, entry) in header.root where name != "__metadata__" {
      let place = try SafetensorsFile.place(name, entry, base: base, size: file.bytes.count, path: path)
      ranges.append((name, place.range))
      if let dtype = place.dtype {
        tensors[name] = TensorInfo(name: name, dtype: dtype, shape: place.shape, range: place.range)
      }
    }
    ranges.sort { $0.range.lowerBound < $1.range.lowerBound }
    for (first, second) in zip(ranges, ranges.dropFirst())
    where first.range.upperBound > second.range.lowerBound {
      throw GGUFFile.malformed(path, second.name, "its bytes overlap those of \(first.name)")
    }
    self.tensors = tensors
  }

  public func bytes(of tensor: TensorInfo) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: file.bytes[tensor.range])
  }

  public func release(_ tensor: TensorInfo) { file.release(tensor.range) }

  /// Members of the outermost object of valid JSON, counted by its commas; a name that stands twice counts
  /// twice, where parsing into a dictionary would keep either one.
  private static func memberCount(_ json: Slice<UnsafeRawBufferPointer>) -> Int {
    var (depth, commas, isEmpty, inString, isEscaped) = (0, 0, true, false, false)
    for byte in json {
      if inString {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          inString = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""):
        inString = true
        isEmpty = false
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
      case UInt8(ascii: ",") where depth == 1: commas += 1
      default: break
      }
    }
    return isEmpty ? 0 : commas + 1
  }

  /// Where a tensor's bytes lie, and its type where it is one that holds weights.
  private static func place(_ name: String, _ entry: Any, base: Int, size: Int, path: String) throws
    -> (dtype: DType?, shape: Shape, range: Range<Int>)
  {
    guard let entry = entry as? [String: Any], let type = entry["dtype"] as? String,
      let extents = entry["shape"] as? [NSNumber], let offsets = entry["data_offsets"] as? [NSNumber],
      offsets.count == 2, let start = Int(exactly: offsets[0].doubleValue),
      let end = Int(exactly: offsets[1].doubleValue)
    else {
      throw GGUFFile.malformed(path, name, "the entry lacks dtype, shape or data_offsets")
    }
    let dtype = types[type]
    guard let elementBytes = dtype?.blockBytes ?? uncounted[type] else {
      throw RetortError(
        .unsupported, "tensor type \(type)", file: path, field: name,
        remedy: "Use a model in F32, F16 or BF16.")
    }
    let shape = Shape(extents.map { Int(exactly: $0.doubleValue) ?? -1 })
    let bytes = shape.checkedCount.map { $0.multipliedReportingOverflow(by: elementBytes) }
    guard shape.rank <= 8, let bytes, !bytes.overflow, start >= 0, end >= start, end <= size - base,
      end - start == bytes.partialValue
    else {
      throw GGUFFile.malformed(path, name, "bytes \(start)–\(end) do not hold shape \(shape) of \(type)")
    }
    return (dtype, shape, base + start..<base + end)
  }
}
