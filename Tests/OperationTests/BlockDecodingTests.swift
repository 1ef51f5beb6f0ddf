import Basics
import Foundation
import Tensors
import TestSupport
import Testing

extension Operations {
  /// Block layouts against values that the `gguf` Python package decoded (Tests/Fixtures/tiny-blocks).
  @Suite struct BlockDecodingTests {
    private struct Entry: Decodable {
      let bytes: String
      let values: [Float]
    }

    private static let entries: [(dtype: DType, bytes: [UInt8], values: [Float])] = {
      let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../Fixtures/tiny-blocks/blocks.json")
      let decoded = (try? Data(contentsOf: path)).flatMap {
        try? JSONDecoder().decode([String: Entry].self, from: $0)
      }
      return (decoded ?? [:]).compactMap { name, entry in
        let digits = Array(entry.bytes.utf8)
        let bytes = stride(from: 0, to: digits.count, by: 2).compactMap {
          UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
        }
        return DType.allCases.first { $0.rawValue.lowercased() == name.lowercased() }
          .map { ($0, bytes, entry.values) }
      }
    }()

    @Test func everyStoredTypeHasBlocks() {
      #expect(Self.entries.count == 10)
    }

    @Test func theReferenceDecoderGivesTheSameBits() {
      for entry in Self.entries {
        let decoded = entry.bytes.withUnsafeBytes {
          QuantizedBlocks.decode($0, dtype: entry.dtype, count: entry.values.count)
        }
        #expect(decoded.map(\.bitPattern) == entry.values.map(\.bitPattern), "\(entry.dtype)")
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func aLookUpGivesTheSameValues(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for entry in Self.entries {
        let bytes = entry.bytes
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
        defer { memory.deallocate() }
        memory.copyBytes(from: bytes)
        let view = Int(bitPattern: memory.baseAddress)
        let source = WeightSource(
          name: "blocks", dtype: entry.dtype, shape: [1, entry.values.count], file: "blocks.json",
          bytes: { UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: view), count: bytes.count) })
        let row = try backend.read(
          backend.embedding(backend.loadTable(source), backend.prepare(TestBatch.lookups([0]))))
        let largest = entry.values.reduce(0) { max($0, $1.magnitude) }
        let error = zip(row, entry.values).reduce(0) { max($0, ($1.0 - $1.1).magnitude) }
        #expect(error <= largest * 1e-6, "\(entry.dtype)")
      }
    }
  }
}
