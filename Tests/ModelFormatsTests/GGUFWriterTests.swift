import Basics
import Foundation
import ModelFormats
import Testing

@Suite struct GGUFWriterTests {
  @Test func everyScalarTypeIsReadBackWithItsValue() throws {
    var writer = try GGUFWriter()
    try writer.add("uint8", .uint8(.max))
    try writer.add("int8", .int8(.min))
    try writer.add("uint16", .uint16(.max))
    try writer.add("int16", .int16(.min))
    try writer.add("uint32", .uint32(.max))
    try writer.add("int32", .int32(.min))
    try writer.add("int64", .int64(.min))
    try writer.add("uint64", .uint64(UInt64(Int64.max)))
    try writer.add("float32", .float32(0.1))
    try writer.add("float64", .float64(0.1))
    try writer.add("bool", .bool(true))
    try writer.add("string", .string("naïve \u{0} 漢"))
    try writer.add("beyond", .uint64(.max))
    try withFile(writer.encoded()) { path in
      let file = try GGUFFile(path: path)
      #expect(file.version == 3)
      #expect(try file.integer("uint8") == 255)
      #expect(try file.integer("int8") == -128)
      #expect(try file.integer("uint16") == 65535)
      #expect(try file.integer("int16") == -32768)
      #expect(try file.integer("uint32") == Int(UInt32.max))
      #expect(try file.integer("int32") == Int(Int32.min))
      #expect(try file.integer("int64") == Int.min)
      #expect(try file.integer("uint64") == Int.max)
      #expect(try file.float("float32") == Double(Float(0.1)))
      #expect(try file.float("float64") == 0.1)
      #expect(try file.float("int8") == -128)
      #expect(try file.bool("bool"))
      #expect(try file.string("string") == "naïve \u{0} 漢")
      guard case .unsigned(.max) = file.metadata["beyond"] else {
        Issue.record("\(String(describing: file.metadata["beyond"])) is not UInt64.max")
        return
      }
    }
  }

  @Test func everyArrayTypeIsReadBackWithItsValues() throws {
    var writer = try GGUFWriter()
    try writer.add("strings", .strings(["", "é", "x y"]))
    try writer.add("int32s", .int32s([1, -2, 3]))
    try writer.add("float32s", .float32s([0.5, -1]))
    try writer.add("uint8", .array(of: .uint8, [.uint8(0), .uint8(255)]))
    try writer.add("int8", .array(of: .int8, [.int8(-1)]))
    try writer.add("uint16", .array(of: .uint16, [.uint16(65535)]))
    try writer.add("int16", .array(of: .int16, [.int16(-1)]))
    try writer.add("uint32", .array(of: .uint32, [.uint32(7)]))
    try writer.add("uint64", .array(of: .uint64, [.uint64(8)]))
    try writer.add("int64", .array(of: .int64, [.int64(-9)]))
    try writer.add("float64", .array(of: .float64, [.float64(0.25)]))
    try writer.add("empty", .strings([]))
    try writer.add("bools", .array(of: .bool, [.bool(true)]))
    try writer.add("after", .uint8(1))
    try withFile(writer.encoded()) { path in
      let file = try GGUFFile(path: path)
      #expect(try file.strings("strings") == ["", "é", "x y"])
      #expect(try file.integers("int32s") == [1, -2, 3])
      #expect(try file.floats("float32s") == [0.5, -1])
      #expect(try file.integers("uint8") == [0, 255])
      #expect(try file.integers("int8") == [-1])
      #expect(try file.integers("uint16") == [65535])
      #expect(try file.integers("int16") == [-1])
      #expect(try file.integers("uint32") == [7])
      #expect(try file.integers("uint64") == [8])
      #expect(try file.integers("int64") == [-9])
      #expect(try file.floats("float64") == [0.25])
      #expect(try file.strings("empty").isEmpty)
      #expect(file.arrayCount("strings") == 3)
      #expect(file.arrayCount("bools") == 1)
      #expect(file.arrayCount("after") == 0)
      #expect(try file.integer("after") == 1)
    }
  }

  @Test(arguments: [8, 32, 64, 4096])
  func tensorsOfEveryTypeKeepBytesShapeAndAlignment(alignment: Int) throws {
    var writer = try GGUFWriter(alignment: alignment)
    for (index, dtype) in DType.allCases.enumerated() {
      let shape: Shape = [3, dtype.blockSize]
      try writer.add(
        tensor: dtype.rawValue, dtype: dtype, shape: shape,
        bytes: SampleModel.bytes(dtype, shape, seed: UInt64(index)))
    }
    try withFolder { folder in
      let path = folder + "/model.gguf"
      try writer.write(to: path)
      #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: path))) == writer.encoded())
      let file = try GGUFFile(path: path)
      #expect(file.tensors.map(\.name) == DType.allCases.map(\.rawValue))
      for (index, dtype) in DType.allCases.enumerated() {
        let info = try #require(file.tensor(named: dtype.rawValue))
        #expect(info.dtype == dtype)
        #expect(info.shape == [3, dtype.blockSize])
        #expect(info.range.lowerBound % alignment == 0)
        #expect(Array(file.bytes(of: info)) == SampleModel.bytes(dtype, info.shape, seed: UInt64(index)))
      }
      #expect(file.has("general.alignment") == (alignment != 32))
    }
  }

  @Test func theBytesOfATinyFileFollowTheSpecification() throws {
    var writer = try GGUFWriter()
    try writer.add("k", .strings(["v"]))
    try writer.add(tensor: "t", dtype: .f32, shape: [1, 2], bytes: [1, 2, 3, 4, 5, 6, 7, 8])
    var expected: [UInt8] = Array("GGUF".utf8) + [3, 0, 0, 0]
    expected += [1, 0, 0, 0, 0, 0, 0, 0]  // tensors
    expected += [1, 0, 0, 0, 0, 0, 0, 0]  // metadata
    expected += [1, 0, 0, 0, 0, 0, 0, 0] + Array("k".utf8)
    expected += [9, 0, 0, 0] + [8, 0, 0, 0]  // an array of strings
    expected += [1, 0, 0, 0, 0, 0, 0, 0]  // one element
    expected += [1, 0, 0, 0, 0, 0, 0, 0] + Array("v".utf8)
    expected += [1, 0, 0, 0, 0, 0, 0, 0] + Array("t".utf8)
    expected += [2, 0, 0, 0]  // dimensions, innermost first
    expected += [2, 0, 0, 0, 0, 0, 0, 0] + [1, 0, 0, 0, 0, 0, 0, 0]
    expected += [0, 0, 0, 0] + [0, 0, 0, 0, 0, 0, 0, 0]  // f32 at offset 0
    expected += [UInt8](repeating: 0, count: 128 - expected.count)
    expected += [1, 2, 3, 4, 5, 6, 7, 8] + [UInt8](repeating: 0, count: 24)
    #expect(writer.encoded() == expected)
  }

  @Test func whatDoesNotFitIsRefused() throws {
    var writer = try GGUFWriter()
    try writer.add("k", .bool(true))
    try writer.add(tensor: "t", dtype: .f32, shape: [1], bytes: [0, 0, 0, 0])
    func refused(_ body: (inout GGUFWriter) throws -> Void) -> Bool {
      var copy = writer
      return thrownError { try body(&copy) }?.code == .invalidArgument
    }
    #expect(refused { try $0.add("k", .bool(false)) })
    #expect(refused { try $0.add("mixed", .array(of: .string, [.string("a"), .bool(true)])) })
    #expect(refused { try $0.add("general.alignment", .uint32(64)) })
    #expect(refused { try $0.add(tensor: "t", dtype: .f32, shape: [1], bytes: [0, 0, 0, 0]) })
    #expect(refused { try $0.add(tensor: "short", dtype: .f32, shape: [2], bytes: [0, 0, 0, 0]) })
    #expect(refused { try $0.add(tensor: "scalar", dtype: .f32, shape: [], bytes: [0, 0, 0, 0]) })
    #expect(
      refused { try $0.add(tensor: "deep", dtype: .f32, shape: [1, 1, 1, 1, 1], bytes: [0, 0, 0, 0]) })
    #expect(refused { try $0.add(tensor: "empty", dtype: .f32, shape: [0], bytes: []) })
    #expect(
      refused {
        try $0.add(tensor: "torn", dtype: .q8_0, shape: [2, 16], bytes: [UInt8](repeating: 0, count: 34))
      })
    var deep = GGUFWriterValue.uint8(1)
    for level in 0..<4 { deep = .array(of: level == 0 ? .uint8 : .array, [deep]) }
    try writer.add("four deep", deep)
    #expect(refused { try $0.add("five deep", .array(of: .array, [deep])) })
    for alignment in [0, 4, 24, -32, 1 << 21] {
      #expect(thrownError { _ = try GGUFWriter(alignment: alignment) }?.code == .invalidArgument)
    }
  }
}
