import Basics
import OpenCLRuntime
import Tensors
import TestSupport
import Testing

@testable import OpenCLBackend

extension Operations {
  /// Contexts of several chunks, which GPU-class kernels may give to different work-groups.
  @Suite struct SplitAttentionTests {
    typealias Part = TestBatch.Part

    /// Steps over one cached sequence: rows `from ..< to`, of which each sees what comes before it.
    private struct Cached {
      let backend: any Backend
      let cache: any KVCache
      let table: [Int32]
      let blockSize: Int
      let heads: Int
      let width: Int
      let query: [Float]

      func batch(_ ranges: [Range<Int>]) throws -> BatchMetadata {
        var (slices, start) = ([SequenceSlice](), 0)
        for range in ranges {
          slices.append(
            SequenceSlice(
              rowStart: start, rowCount: range.count, contextLength: range.upperBound, blockTable: table))
          start += range.count
        }
        return try BatchMetadata(
          tokenIDs: [Int32](repeating: 0, count: start), sequences: slices, blockSize: blockSize)
      }

      func attend(_ ranges: [Range<Int>]) throws -> [[Float]] {
        let batch = try batch(ranges)
        let rows = ranges.flatMap { query[($0.lowerBound * width)..<($0.upperBound * width)] }
        let result = try backend.read(
          backend.attention(
            backend.matrix(rows, width), heads: heads, scale: 0.11, layer: 0, cache: cache,
            backend.prepare(batch)))
        return zip(batch.sequences, ranges).map { slice, range in
          Array(result[(slice.rowStart * width)..<((slice.rowStart + range.count) * width)])
        }
      }
    }

    private static func cached(
      _ backend: any Backend, length: Int, heads: Int, kvHeads: Int, headDim: Int, blockSize: Int,
      dtype: CacheType
    ) throws -> (Cached, Reference.Cache) {
      let batch = try TestBatch([Part(rows: length, context: length)], blockSize: blockSize)
      let spec = KVCacheSpec(
        layers: 1, blocks: batch.blocks, blockSize: blockSize, kvHeads: kvHeads, headDim: headDim,
        dtype: dtype)
      let (cache, reference) = try AttentionTests.filled(backend, spec, batch, layer: 0)
      var random = TestRandom(UInt64(length + heads))
      let width = heads * headDim
      let made = Cached(
        backend: backend, cache: cache, table: batch.metadata.sequences[0].blockTable, blockSize: blockSize,
        heads: heads, width: width, query: random.activations(length * width))
      return (made, reference)
    }

    /// The reference has no time for whole prefills; decode rows are held against it below.
    static let cases = BackendUnderTest.caches.filter { $0.0.testDescription != "reference" }

    @Test(arguments: cases)
    func aRowIsTheSameBitsInPrefillInPiecesAndInDecode(_ backend: BackendUnderTest, _ dtype: CacheType) throws
    {
      let backend = try backend.backend
      for (heads, kvHeads, headDim, blockSize) in [(4, 1, 32, 16), (3, 3, 16, 32)] {
        let length = 530
        let (cached, reference) = try Self.cached(
          backend, length: length, heads: heads, kvHeads: kvHeads, headDim: headDim, blockSize: blockSize,
          dtype: dtype)
        let whole = try cached.attend([0..<length])[0]
        func same(_ ranges: [Range<Int>], _ name: String) throws {
          for (range, rows) in zip(ranges, try cached.attend(ranges)) {
            let part = whole[(range.lowerBound * cached.width)..<(range.upperBound * cached.width)]
            #expect(Judge.bitDifference(rows[...], part) == nil, "\(name), rows \(range), \(heads) heads")
          }
        }
        let ends = [0, 15, 31, 32, 63, 64, 65, 255, 256, 257, 287, 288, 511, 512, 513, 529]
        let single = ends.map { $0..<($0 + 1) }
        try same(single, "one row each, all in a step")
        // The reference has the time for these rows only.
        let rows = ends.flatMap { cached.query[($0 * cached.width)..<(($0 + 1) * cached.width)] }
        let expected = Reference.attention(
          rows.doubles, heads: heads, scale: Double(Float(0.11)), layer: 0, cache: reference,
          try cached.batch(single))
        try expectClose(
          backend, backend.matrix(try cached.attend(single).flatMap { $0 }, cached.width), expected,
          AttentionTests.tolerance(backend, headDim: headDim, context: length, cache: dtype), "\(heads) heads"
        )
        for row in [31, 255, 256, 512, 529] { try same([row..<(row + 1)], "one row alone") }
        try same([0..<100, 100..<101, 101..<300, 300..<305, 305..<530], "pieces in one step")
        try same([250..<273], "a piece across a chunk's end")
        try same([510..<530], "a piece of three chunks")
      }
    }

    @Test(arguments: BackendUnderTest.all + [.emulatedWarps])
    func sequencesAfterALongSharedPromptGiveTheBitsOfEachAlone(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let contexts = [471, 480, 512, 513, 530, 600, 466, 800, 475, 490]
      let (batch, prefill) = try AttentionTests.sharing(
        464, contexts.map { Part(rows: 1, context: $0) } + [Part(rows: 3, context: 520)])
      for (heads, kvHeads) in [(8, 2), (3, 1)] {
        let spec = KVCacheSpec(
          layers: 1, blocks: batch.blocks, blockSize: 16, kvHeads: kvHeads, headDim: 16, dtype: .f16)
        try AttentionTests.expectBitsOfEachAlone(
          backend, batch, prefill, spec, heads: heads, scale: 0.25,
          AttentionTests.tolerance(backend, headDim: 16, context: 800, cache: .f16))
      }
    }
  }

  /// Who computes what on GPU-class devices.
  @Suite struct AttentionPlanTests {
    typealias Part = TestBatch.Part

    static let shape = AttentionShape(
      items: 128, keys: 32, splitTokens: 256, narrowQueries: 4, wideQueries: 32, directGroups: 8)

    static func plan(_ batch: BatchMetadata, group: Int, kvHeads: Int = 1) -> AttentionPlan {
      let starts = batch.sequences.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.blockTable.count) }
      return AttentionPlan(batch, tables: starts, group: group, kvHeads: kvHeads, shape: shape)
    }

    /// For each row and head of a group the tokens that items read for it, each as block and place.
    static func reads(_ plan: AttentionPlan, _ batch: BatchMetadata, group: Int) -> [[Int]: [Int]] {
      let tables = batch.sequences.flatMap(\.blockTable)
      var reads: [[Int]: [Int]] = [:]
      for list in plan.items.values {
        for item in stride(from: 0, to: list.count, by: 5) {
          let (entry, first, count) = (Int(list[item]), Int(list[item + 1]), Int(list[item + 2]))
          for segment in Int(list[item + 3])..<Int(list[item + 3] + list[item + 4]) {
            let values = plan.segments[(5 * segment)..<(5 * segment + 5)].map(Int.init)
            for query in values[3]..<min(values[4], count) {
              let row = 3 * (entry + (first + query) / group)
              for token in values[1]..<max(values[1], min(values[2], Int(plan.rows[row + 1]))) {
                let block = Int(tables[values[0] + token / batch.blockSize])
                reads[[Int(plan.rows[row]), (first + query) % group], default: []].append(
                  block * batch.blockSize + token % batch.blockSize)
              }
            }
          }
        }
      }
      return reads
    }

    @Test func everyQuerySeesEachOfItsTokensOnceInOrder() throws {
      let decode = [900, 470, 471, 480, 1, 256, 257, 512, 700].map { Part(rows: 1, context: $0) }
      let (shared, _) = try AttentionTests.sharing(
        448, [470, 471, 480, 900, 512].map { Part(rows: 1, context: $0) })
      let mixed = try TestBatch(
        decode + [Part(rows: 70, context: 560), Part(rows: 3, context: 600), Part(rows: 20, context: 270)],
        blockSize: 16)
      for batch in [mixed.metadata, shared.metadata] {
        for (group, kvHeads) in [(1, 1), (3, 1), (4, 8), (33, 1)] {
          let plan = Self.plan(batch, group: group, kvHeads: kvHeads)
          let reads = Self.reads(plan, batch, group: group)
          #expect(reads.count == batch.rows * group)
          for slice in batch.sequences {
            for row in 0..<slice.rowCount {
              let tokens = (0...(slice.contextLength - slice.rowCount + row)).map {
                Int(slice.blockTable[$0 / 16]) * 16 + $0 % 16
              }
              for head in 0..<group {
                // Launches and items may come in any order; within a row the tokens are all there, once.
                #expect(reads[[slice.rowStart + row, head]]?.sorted() == tokens.sorted())
              }
            }
          }
        }
      }
    }

    /// Eight sequences after a prompt of 464 tokens in common, four heads: one item reads what is shared for all.
    @Test func aSharedPromptIsReadOnce() throws {
      let (batch, _) = try AttentionTests.sharing(464, (0..<8).map { Part(rows: 1, context: 470 + $0) })
      let plan = Self.plan(batch.metadata, group: 4)
      let tokens = stride(from: 0, to: plan.segments.count, by: 5).reduce(0) {
        $0 + Int(plan.segments[$1 + 2] - plan.segments[$1 + 1])
      }
      let own = batch.metadata.sequences.reduce(0) { $0 + $1.contextLength - 448 }
      #expect(tokens == 448 + own)
      #expect(plan.items.values.reduce(0) { $0 + $1.count / 5 } == 2)
    }
  }
}
