import Basics
import OpenCLBackend
import Tensors
import TestSupport
import Testing

/// A damaged model must be noticed: what is no number reaches the logits that depend on it, and no others.
extension Operations.NotANumberTests {
  private static let native = BackendUnderTest.all.filter { $0.testDescription != "reference" }

  @Test(arguments: native + [BackendUnderTest.emulatedWarps])
  func activationThatIsNoNumberReachesItsRowsInt8Products(_ place: BackendUnderTest) throws {
    let backend = try place.backend
    let (width, outputs, bad) = (131, 45, 1)
    let weight = try backend.loadMatrix(
      [TestWeight(random: 3, outputs, width, .f32).source], compute: .int8)
    var random = TestRandom(4)
    for (rows, column) in [(1, 5), (3, 130), (9, 64)] {
      let clean = random.floats(rows * width)
      var x = clean
      let row = min(bad, rows - 1)
      x[row * width + column] = .nan
      let expected = try backend.read(backend.matmul(backend.matrix(clean, width), weight, bias: nil))
      let actual = try backend.read(backend.matmul(backend.matrix(x, width), weight, bias: nil))
      for index in actual.indices {
        if index / outputs == row {
          #expect(!actual[index].isFinite, "row \(row) of \(rows), output \(index % outputs)")
        } else {
          #expect(actual[index].bitPattern == expected[index].bitPattern)
        }
      }
    }
  }

  @Test(arguments: BackendUnderTest.caches.filter { $0.1 != .int8 })
  func tokenThatIsNoNumberReachesTheRowsThatSeeIt(_ place: BackendUnderTest, _ type: CacheType) throws {
    let backend = try place.backend
    let (rows, heads, headDim, first) = (40, 2, 64, 21)
    let width = heads * headDim
    let batch = try TestBatch([.init(rows: rows, context: rows)], blockSize: 16)
    var random = TestRandom(9)
    let (query, key, value) = (
      random.floats(rows * width), random.floats(rows * width), random.floats(rows * width)
    )
    func attend(_ key: [Float], _ value: [Float]) throws -> [Float] {
      let cache = try backend.makeKVCache(
        KVCacheSpec(
          layers: 1, blocks: batch.blocks, blockSize: 16, kvHeads: heads, headDim: headDim, dtype: type))
      let prepared = try backend.prepare(batch.metadata)
      try backend.storeKV(
        key: backend.matrix(key, width), value: backend.matrix(value, width), layer: 0, cache: cache,
        prepared)
      return try backend.read(
        backend.attention(
          backend.matrix(query, width), heads: heads, scale: 0.125, layer: 0, cache: cache, prepared))
    }
    var (badKey, badValue) = (key, value)
    for at in (first * width)..<((first + 1) * width) { (badKey[at], badValue[at]) = (.nan, .nan) }
    badValue[(first + 1) * width] = .infinity
    let (clean, actual) = (try attend(key, value), try attend(badKey, badValue))
    for index in actual.indices {
      if index / width < first {
        // The CPU backend has a row's tile see it too.
        if !(backend is OpenCLBackend) { continue }
        #expect(actual[index].bitPattern == clean[index].bitPattern, "row \(index / width)")
      } else {
        #expect(actual[index].isNaN, "row \(index / width)")
      }
    }
  }

  @Test(arguments: BackendUnderTest.all)
  func logitsThatAreNoNumbersReachTheSumOfTheRow(_ place: BackendUnderTest) throws {
    let backend = try place.backend
    let width = 10_000
    var logits = [Float](repeating: 0, count: 2 * width)
    // Whole chunks of the second row.
    for column in 4096..<8192 { logits[width + column] = .nan }
    let rows = try backend.logProbabilities(
      backend.matrix(logits, width), Array(repeating: LogProbabilityRequest(), count: 2))
    try #require(rows.count == 2)
    #expect(rows[0].logSumExp.isFinite && rows[1].logSumExp.isNaN)
    let none = try backend.logProbabilities(
      backend.matrix([Float](repeating: -.infinity, count: width), width), [LogProbabilityRequest()])
    #expect(none.first?.logSumExp == -.infinity)
  }
}
