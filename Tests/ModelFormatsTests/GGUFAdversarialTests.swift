import Basics
import ModelFormats
import Testing

/// Hostile and broken GGUF files, each refused with an error that names what is wrong.
@Suite struct GGUFAdversarialTests {
  /// Expects a refusal with this code whose field is `field` and whose message has `message` in it.
  private func expectRefused(
    _ raw: RawGGUF, _ code: RetortError.Code = .malformedFile, field: String, _ message: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let error = try openingError(gguf: raw.bytes)
    #expect(error?.code == code, sourceLocation: sourceLocation)
    #expect(error?.field == field, sourceLocation: sourceLocation)
    #expect(error?.message.contains(message) == true, "\(error as Any)", sourceLocation: sourceLocation)
  }

  private static let row = [UInt8](repeating: 0, count: 32)

  @Test func theHonestFileOpens() throws {
    let raw = RawGGUF(
      metadata: [RawGGUF.pair("k", type: 8, RawGGUF.string("v"))],
      tensors: [RawGGUF.tensor("a"), RawGGUF.tensor("b", offset: 32)], data: Self.row + Self.row)
    #expect(try openingError(gguf: raw.bytes) == nil)
    var second = raw
    second.version = 2
    #expect(try openingError(gguf: second.bytes) == nil)
  }

  @Test func anEmptyFileEndsTooEarly() throws {
    let error = try openingError(gguf: [])
    #expect(error?.code == .malformedFile)
    #expect(error?.message == "the file ends too early")
  }

  @Test func anotherFormatIsNotGGUF() throws {
    try expectRefused(RawGGUF(magic: Array("GGML".utf8)), field: "magic", "not a GGUF file")
    let error = try openingError(gguf: Array("{\"model_type\": \"llama\"}".utf8))
    #expect(error?.remedy.contains("config.json") == true)
  }

  @Test func aBigEndianFileIsNamedAsSuch() throws {
    try expectRefused(
      RawGGUF(version: UInt32(3).byteSwapped), .unsupported, field: "version", "big-endian")
  }

  @Test(arguments: [0, 1, 4, UInt32.max])
  func anUnknownVersionIsNamed(version: UInt32) throws {
    try expectRefused(
      RawGGUF(version: version), .unsupported, field: "version", "GGUF version \(version)")
  }

  @Test(arguments: [100, 1 << 32, 1 << 60, UInt64(Int64.max), 1 << 63, .max])
  func aHugeCountIsRefusedBeforeAnythingIsReserved(count: UInt64) throws {
    try expectRefused(RawGGUF(tensorCount: count), field: "tensor_count", "a count of \(count)")
    try expectRefused(RawGGUF(metadataCount: count), field: "metadata_kv_count", "a count of \(count)")
    let array = RawGGUF.word(UInt32(4)) + RawGGUF.word(count)
    try expectRefused(
      RawGGUF(metadata: [RawGGUF.pair("k", type: 9, array)]), field: "k", "a count of \(count)")
    let text = RawGGUF.pair("k", type: 8, RawGGUF.string(Array("v".utf8), length: count))
    try expectRefused(RawGGUF(metadata: [text]), field: "k", "a count of \(count)")
  }

  @Test func aTinyFileIsRefusedWhereverItIsCut() throws {
    let raw = RawGGUF(
      metadata: [
        RawGGUF.pair("k", type: 9, RawGGUF.word(UInt32(8)) + RawGGUF.word(UInt64(1)) + RawGGUF.string("v"))
      ],
      tensors: [RawGGUF.tensor("a")], data: Self.row)
    let bytes = raw.bytes
    #expect(try openingError(gguf: bytes) == nil)
    for length in 0..<bytes.count {
      #expect(try openingError(gguf: Array(bytes[..<length]))?.code == .malformedFile, "\(length) bytes")
    }
  }

  @Test func aKeyThatStandsTwiceIsNamed() throws {
    let pair = RawGGUF.pair("general.name", type: 0, [1])
    try expectRefused(RawGGUF(metadata: [pair, pair]), field: "general.name", "twice")
  }

  @Test func aTensorNameThatStandsTwiceIsNamed() throws {
    let raw = RawGGUF(
      tensors: [RawGGUF.tensor("a"), RawGGUF.tensor("a", offset: 32)], data: Self.row + Self.row)
    try expectRefused(raw, field: "a", "twice")
  }

  @Test func overlappingTensorsAreNamedWhateverTheirOrder() throws {
    let wide = RawGGUF.tensor("wide", extents: [16])
    let inside = RawGGUF.tensor("inside", offset: 32)
    for tensors in [[wide, inside], [inside, wide]] {
      try expectRefused(
        RawGGUF(tensors: tensors, data: Self.row + Self.row), field: "inside", "overlap those of wide")
    }
    let twin = RawGGUF(tensors: [RawGGUF.tensor("a"), RawGGUF.tensor("b")], data: Self.row)
    #expect(try openingError(gguf: twin.bytes)?.message.contains("overlap") == true)
  }

  @Test(arguments: [32, 64, 1 << 40, (1 << 63) - 32, 1 << 63, .max - 31] as [UInt64])
  func aTensorThatLeavesTheFileIsNamed(offset: UInt64) throws {
    let raw = RawGGUF(tensors: [RawGGUF.tensor("a", offset: offset)], data: Self.row)
    try expectRefused(raw, field: "a", "leave the file")
  }

  @Test func anUnalignedTensorIsNamed() throws {
    let raw = RawGGUF(tensors: [RawGGUF.tensor("a", offset: 16)], data: Self.row + Self.row)
    try expectRefused(raw, field: "a", "not a multiple of 32")
  }

  @Test(arguments: [0, 1, 7, 12, 33, 1 << 21, UInt32.max])
  func anAlignmentThatIsNoPowerOfTwoFromEightUpIsRefused(alignment: UInt32) throws {
    let pair = RawGGUF.pair("general.alignment", type: 4, RawGGUF.word(alignment))
    try expectRefused(RawGGUF(metadata: [pair]), field: "general.alignment", "power of two")
  }

  @Test func anAlignmentThatIsNoIntegerIsRefused() throws {
    for pair in [
      RawGGUF.pair("general.alignment", type: 8, RawGGUF.string("32")),
      RawGGUF.pair("general.alignment", type: 10, RawGGUF.word(UInt64.max)),
    ] {
      try expectRefused(RawGGUF(metadata: [pair]), field: "general.alignment", "power of two")
    }
  }

  @Test func arraysNestedDeeperThanFourAreRefused() throws {
    func nested(_ depth: Int) -> [UInt8] {
      let level = RawGGUF.word(UInt32(9)) + RawGGUF.word(UInt64(1))
      return (1..<depth).flatMap { _ in level } + RawGGUF.word(UInt32(0)) + RawGGUF.word(UInt64(1)) + [7]
    }
    let four = RawGGUF(metadata: [RawGGUF.pair("k", type: 9, nested(4))])
    #expect(try openingError(gguf: four.bytes) == nil)
    for depth in [5, 6, 50_000] {
      try expectRefused(
        RawGGUF(metadata: [RawGGUF.pair("k", type: 9, nested(depth))]), field: "k", "nested deeper than 4")
    }
  }

  @Test(arguments: [13, 255, UInt32.max])
  func anUnknownValueTypeIsNumbered(type: UInt32) throws {
    try expectRefused(
      RawGGUF(metadata: [RawGGUF.pair("k", type: type, [])]), field: "k", "unknown value type \(type)")
    try expectRefused(
      RawGGUF(metadata: [RawGGUF.pair("k", type: 9, RawGGUF.word(type) + RawGGUF.word(UInt64(0)))]),
      field: "k", "unknown value type \(type)")
  }

  @Test(arguments: [4, 5, 9, 10, 11, 15, 24, 31, UInt32.max])
  func anUnsupportedTensorTypeIsNamedWithTheSupportedOnes(type: UInt32) throws {
    let raw = RawGGUF(tensors: [RawGGUF.tensor("a", type: type)], data: Self.row)
    try expectRefused(raw, .unsupported, field: "a", "tensor type \(type)")
    #expect(try openingError(gguf: raw.bytes)?.remedy.contains("Q4_K") == true)
  }

  @Test(arguments: [0, UInt64(Int64.max) + 1, .max])
  func anImpossibleExtentIsNamed(extent: UInt64) throws {
    let raw = RawGGUF(tensors: [RawGGUF.tensor("a", extents: [8, extent])], data: Self.row)
    try expectRefused(raw, field: "a", "an extent of \(extent)")
  }

  @Test func extentsWhoseProductOverflowsAreRefused() throws {
    for extents: [UInt64] in [[1 << 32, 1 << 32], [1 << 62, 2], [1 << 21, 1 << 21, 1 << 21, 2], [1 << 62]] {
      let raw = RawGGUF(tensors: [RawGGUF.tensor("a", extents: extents)], data: Self.row)
      try expectRefused(raw, field: "a", "does not fit")
    }
  }

  @Test(arguments: [0, 5, UInt32.max])
  func aRankOutsideOneToFourIsRefused(rank: UInt32) throws {
    let raw = RawGGUF(
      tensors: [RawGGUF.tensor("a", rank: rank, extents: [1, 1, 1, 1, 1])], data: Self.row)
    try expectRefused(raw, field: "a", "\(rank) dimensions")
  }

  @Test func aRowOfBrokenBlocksIsRefusedEvenWhereTheWholeFits() throws {
    // Two rows of 16 make 32 elements, but a row of Q8_0 (type 8) must be whole blocks.
    let raw = RawGGUF(
      tensors: [RawGGUF.tensor("a", extents: [16, 2], type: 8)], data: Self.row + Self.row)
    try expectRefused(raw, field: "a", "does not fit blocks of q8_0")
  }

  @Test func aKeyThatIsNotUTF8IsRefused() throws {
    let pair = RawGGUF.string([0xFF, 0xFE]) + RawGGUF.word(UInt32(0)) + [1]
    try expectRefused(RawGGUF(metadata: [pair]), field: "metadata key 0", "not UTF-8")
  }

  @Test func anArrayOfStringsThatAreNotUTF8IsRefusedWhenRead() throws {
    let array = RawGGUF.word(UInt32(8)) + RawGGUF.word(UInt64(1)) + RawGGUF.string([0xC3])
    try withFile(RawGGUF(metadata: [RawGGUF.pair("k", type: 9, array)]).bytes) { path in
      let file = try GGUFFile(path: path)
      let error = thrownError { _ = try file.strings("k") }
      #expect(error?.code == .malformedFile)
      #expect(error?.field == "k")
      #expect(error?.file == path)
    }
  }

  @Test func aKeyThatIsMissingOrOfAnotherTypeIsNamedWithBothTypes() throws {
    var writer = try GGUFWriter()
    try writer.add("text", .string("x"))
    try writer.add("texts", .strings(["x"]))
    try writer.add("huge", .uint64(.max))
    try writer.add("mixed", .array(of: .array, [.strings(["x"])]))
    try withFile(writer.encoded()) { path in
      let file = try GGUFFile(path: path)
      let missing = thrownError { _ = try file.string("nowhere") }
      #expect(missing?.field == "nowhere" && missing?.message == "the key is missing")
      let wrong = thrownError { _ = try file.integer("text") }
      #expect(wrong?.field == "text" && wrong?.message == "found string, expected an integer")
      #expect(thrownError { _ = try file.integers("texts") }?.code == .malformedFile)
      #expect(thrownError { _ = try file.strings("mixed") }?.code == .malformedFile)
      #expect(thrownError { _ = try file.floats("text") }?.code == .malformedFile)
      #expect(thrownError { _ = try file.bool("text") }?.code == .malformedFile)
      #expect(thrownError { _ = try file.float("text") }?.code == .malformedFile)
      #expect(thrownError { _ = try file.integer("huge") }?.code == .malformedFile)
    }
  }
}
