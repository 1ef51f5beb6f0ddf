import Basics
import Foundation
import ModelFormats
import Testing

@Suite struct SafetensorsWriterTests {
  @Test func tensorsOfEveryTypeKeepBytesAndShape() throws {
    var writer = SafetensorsWriter(metadata: ["format": "pt", "quote\"": "back\\slash\n"])
    let shapes: [DType: Shape] = [.f32: [2, 3], .f16: [], .bf16: [5]]
    for (dtype, shape) in shapes {
      try writer.add(
        tensor: "a \"\(dtype.rawValue)\" é", dtype: dtype, shape: shape,
        bytes: SampleModel.bytes(dtype, shape, seed: 1))
    }
    try writer.add(tensor: "empty", dtype: .f32, shape: [0, 4], bytes: [])
    try withFolder { folder in
      let path = folder + "/model.safetensors"
      try writer.write(to: path)
      #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: path))) == writer.encoded())
      let file = try SafetensorsFile(path: path)
      #expect(file.tensors.count == 4)
      for (dtype, shape) in shapes {
        let info = try #require(file.tensors["a \"\(dtype.rawValue)\" é"])
        #expect(info.dtype == dtype && info.shape == shape)
        #expect(Array(file.bytes(of: info)) == SampleModel.bytes(dtype, shape, seed: 1))
      }
      #expect(file.tensors["empty"]?.range.isEmpty == true)
    }
  }

  @Test func theHeaderIsValidJSONPaddedToEightBytes() throws {
    var writer = SafetensorsWriter(metadata: ["tab\t": "\u{1}"])
    try writer.add(tensor: "t", dtype: .f32, shape: [1], bytes: [1, 2, 3, 4])
    let bytes = writer.encoded()
    let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    #expect(length % 8 == 0 && bytes.count == 8 + length + 4)
    let parsed = try JSONSerialization.jsonObject(with: Data(bytes[8..<8 + length])) as? [String: Any]
    let header = try #require(parsed)
    #expect(header["__metadata__"] as? [String: String] == ["tab\t": "\u{1}"])
    #expect((header["t"] as? [String: Any])?["data_offsets"] as? [Int] == [0, 4])
  }

  @Test func aFileWithoutTensorsIsWrittenAndRead() throws {
    try withFile(SafetensorsWriter().encoded()) { path in
      let file = try SafetensorsFile(path: path)
      #expect(file.tensors.isEmpty)
    }
  }

  @Test func whatDoesNotFitIsRefused() throws {
    var writer = SafetensorsWriter()
    try writer.add(tensor: "t", dtype: .bf16, shape: [2], bytes: [0, 0, 0, 0])
    func code(_ body: (inout SafetensorsWriter) throws -> Void) -> RetortError.Code? {
      var copy = writer
      return thrownError { try body(&copy) }?.code
    }
    #expect(code { try $0.add(tensor: "t", dtype: .f32, shape: [0], bytes: []) } == .invalidArgument)
    #expect(
      code { try $0.add(tensor: "__metadata__", dtype: .f32, shape: [0], bytes: []) } == .invalidArgument)
    #expect(code { try $0.add(tensor: "short", dtype: .f32, shape: [2], bytes: [0]) } == .invalidArgument)
    #expect(code { try $0.add(tensor: "less", dtype: .f32, shape: [-1], bytes: []) } == .invalidArgument)
    #expect(
      code { try $0.add(tensor: "q", dtype: .q8_0, shape: [32], bytes: [UInt8](repeating: 0, count: 34)) }
        == .unsupported)
  }
}

/// Hostile and broken safetensors files, each refused with an error that names what is wrong.
@Suite struct SafetensorsAdversarialTests {
  private func expectRefused(
    header: String, data: Int = 8, _ code: RetortError.Code = .malformedFile, field: String,
    _ message: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let bytes = safetensors(header: Array(header.utf8), data: [UInt8](repeating: 0, count: data))
    let error = try openingError(safetensors: bytes)
    #expect(error?.code == code, sourceLocation: sourceLocation)
    #expect(error?.field == field, sourceLocation: sourceLocation)
    #expect(error?.message.contains(message) == true, "\(error as Any)", sourceLocation: sourceLocation)
  }

  private func entry(_ shape: String, _ start: String, _ end: String, type: String = "F32") -> String {
    "{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":[\(start),\(end)]}"
  }

  @Test func theHonestFileOpens() throws {
    let header = "{\"a\":\(entry("[2]", "0", "8")),\"b\":\(entry("[3, 0]", "8", "8"))}   "
    let bytes = safetensors(header: Array(header.utf8), data: [UInt8](repeating: 0, count: 8))
    #expect(try openingError(safetensors: bytes) == nil)
  }

  @Test func aFileShorterThanItsLengthFieldEndsTooEarly() throws {
    for count in 0..<8 {
      let error = try openingError(safetensors: [UInt8](repeating: 0, count: count))
      #expect(error?.message == "the file ends too early")
    }
  }

  @Test(arguments: [9, 1 << 32, 1 << 62, UInt64(Int64.max), .max])
  func aHeaderLongerThanTheFileIsRefused(length: UInt64) throws {
    let error = try openingError(safetensors: RawGGUF.word(length) + Array("{}      ".utf8))
    #expect(error?.field == "header length")
    #expect(error?.message.contains("\(length)") == true)
  }

  @Test func aHeaderOfMoreThanAHundredMebibytesIsRefused() throws {
    try withFolder { folder in
      let path = folder + "/model.safetensors"
      let length = (100 << 20) + 1
      try write(RawGGUF.word(UInt64(length)), to: path)
      // A hole: the file is as long as it claims and takes no space.
      #expect(truncate(path, off_t(8 + length)) == 0)
      let error = thrownError { _ = try SafetensorsFile(path: path) }
      #expect(error?.field == "header length")
      #expect(error?.message.contains("over 100 MiB") == true)
    }
  }

  @Test(arguments: ["", "{", "nonsense", "{\"a\":}", "{\"a\": 1", "\u{0}", "{}{}", "{'a': 1}"])
  func aHeaderThatIsNotJSONIsRefused(header: String) throws {
    try expectRefused(header: header, field: "JSON", "not valid JSON")
  }

  @Test(arguments: ["[]", "[1, 2]"])
  func aHeaderThatIsNoObjectIsRefused(header: String) throws {
    try expectRefused(header: header, field: "JSON", "not an object")
  }

  @Test func aHeaderNestedWithoutEndIsRefused() throws {
    let deep = String(repeating: "[", count: 100_000)
    try expectRefused(header: deep, field: "JSON", "not valid JSON")
    let closed = "{\"a\":" + deep + String(repeating: "]", count: 100_000) + "}"
    let error = try openingError(safetensors: safetensors(header: Array(closed.utf8)))
    #expect(error?.code == .malformedFile)
  }

  @Test func bytesThatDoNotHoldTheShapeAreNamed() throws {
    for (shape, start, end) in [
      ("[3]", "0", "8"), ("[1]", "0", "8"), ("[2]", "8", "0"), ("[2]", "4", "12"), ("[2]", "-8", "0"),
      ("[-2]", "0", "8"), ("[-1, -2]", "0", "8"), ("[1.5]", "0", "6"), ("[4294967296, 4294967296]", "0", "0"),
      ("[9223372036854775807]", "0", "8"), ("[1e300]", "0", "8"), ("[1,1,1,1,1,1,1,1,2]", "0", "8"),
      ("[2]", "9223372036854774784", "9223372036854774792"),
    ] {
      try expectRefused(header: "{\"a\":\(entry(shape, start, end))}", field: "a", "do not hold shape")
    }
  }

  @Test func anEntryThatLacksAPartIsNamed() throws {
    for broken in [
      "1", "null", "\"x\"", "[]", "{}", "{\"dtype\":\"F32\"}", "{\"dtype\":\"F32\",\"shape\":[2]}",
      "{\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]}",
      "{\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]}",
      "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}",
      "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}",
      "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0.5,8]}",
    ] {
      try expectRefused(header: "{\"a\":\(broken)}", field: "a", "lacks dtype, shape or data_offsets")
    }
  }

  @Test(arguments: ["F64", "F8_E4M3", "f32", ""])
  func anUnsupportedTypeIsNamed(type: String) throws {
    try expectRefused(
      header: "{\"a\":\(entry("[2]", "0", "8", type: type))}", .unsupported, field: "a",
      "tensor type \(type)")
  }

  @Test(arguments: [("I64", 8), ("I32", 4), ("U8", 1), ("BOOL", 1)])
  func tensorsOfWholeNumbersAreCheckedAndLeftOut(type: String, bytes: Int) throws {
    let whole = entry("[2]", "0", "\(2 * bytes)", type: type)
    let header = "{\"a\":\(whole),\"b\":\(entry("[1]", "\(2 * bytes)", "\(2 * bytes + 4)"))}"
    let data = [UInt8](repeating: 0, count: 2 * bytes + 4)
    #expect(
      try openingError(safetensors: safetensors(header: Array(header.utf8), data: data)) == nil)
    let longer = entry("[2]", "0", "\(2 * bytes + 1)", type: type)
    try expectRefused(header: "{\"a\":\(longer)}", field: "a", "do not hold shape")
  }

  @Test func overlappingTensorsAreNamed() throws {
    try expectRefused(
      header: "{\"a\":\(entry("[2]", "0", "8")),\"b\":\(entry("[1]", "4", "8"))}", field: "b",
      "overlap those of a")
    try expectRefused(
      header: "{\"a\":\(entry("[1]", "0", "8", type: "I64")),\"b\":\(entry("[1]", "4", "8"))}", field: "b",
      "overlap those of a")
  }

  @Test func aNameThatStandsTwiceIsRefused() throws {
    let twice = "{\"a\":\(entry("[1]", "0", "4")),\"a\":\(entry("[1]", "4", "8"))}"
    try expectRefused(header: twice, field: "header", "twice")
    // The second name is the first in escapes, and the strings hold what counts outside of them.
    let escaped = "{\"{,\\\"\":\(entry("[1]", "0", "4")),\"\\u007b,\\\"\":\(entry("[1]", "4", "8"))}"
    try expectRefused(header: escaped, field: "header", "twice")
    let once = "{\"{,\\\"\":\(entry("[2]", "0", "8"))}"
    let bytes = safetensors(header: Array(once.utf8), data: [UInt8](repeating: 0, count: 8))
    #expect(try openingError(safetensors: bytes) == nil)
  }

  @Test func aFileIsRefusedWhereverItIsCut() throws {
    var writer = SafetensorsWriter()
    try writer.add(tensor: "a", dtype: .bf16, shape: [4], bytes: [UInt8](repeating: 0, count: 8))
    let bytes = writer.encoded()
    for length in 0..<bytes.count {
      #expect(try openingError(safetensors: Array(bytes[..<length]))?.code == .malformedFile, "\(length)")
    }
  }
}
