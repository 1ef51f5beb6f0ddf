import Basics
import Foundation
import Tensors

extension Reference {
  /// A KV cache as plain numbers: per layer and physical slot one row of `kvHeads · headDim`.
  public struct Cache: Sendable {
    public let spec: KVCacheSpec
    public var keys: [[Double]]
    public var values: [[Double]]

    public init(_ spec: KVCacheSpec) {
      self.spec = spec
      let slots = spec.blocks * spec.blockSize * spec.kvHeads * spec.headDim
      // NaN marks what nobody wrote: an operation that reads it shows.
      keys = (0..<spec.layers).map { _ in [Double](repeating: .nan, count: slots) }
      values = keys
    }

    /// Numbers as the cache's type keeps them; in int8 those of a head share a scale, `group` at a time.
    func rounded(_ x: [Double], group: Int) -> [Double] {
      switch spec.dtype {
      case .f32: x
      case .f16: x.map { Double(Float16($0)) }
      case .bf16: x.map { Double(BFloat16(Float($0)).float) }
      case .int8:
        stride(from: 0, to: x.count, by: spec.headDim).flatMap { head in
          stride(from: head, to: head + spec.headDim, by: group).flatMap { start in
            Cache.codes(x[start..<min(start + group, head + spec.headDim)])
          }
        }
      }
    }

    /// Hadamard's transform of each head, in blocks of the largest power of 2 that divides its size: in Float32 as
    /// the kernels do it, so that the codes are the same, and back without rounding.
    func rotated(_ x: [Double], back: Bool = false) -> [Double] {
      let block = spec.headDim & -spec.headDim
      var y = back ? x.map { $0 / Double(block) } : x
      var step = 1
      while step < block {
        for i in y.indices where i & step == 0 {
          let (a, b) = (y[i], y[i + step])
          (y[i], y[i + step]) =
            back ? (a + b, a - b) : (Double(Float(a) + Float(b)), Double(Float(a) - Float(b)))
        }
        step *= 2
      }
      return y
    }

    /// Codes of 8 bits times their scale. The scale is a Float32 and so is the product that is rounded, so a code
    /// is the same wherever it is made.
    static func codes(_ x: ArraySlice<Double>) -> [Double] {
      let most = x.map { Float($0).magnitude }.max() ?? 0
      guard most > 0 else { return x.map { _ in 0 } }
      let inverse = 127 / most
      return x.map { Double((Float($0) * inverse).rounded(.toNearestOrEven)) * Double(most / 127) }
    }

    /// Writes a batch's rows into the slots that the block tables name, rounded to the cache's type.
    public mutating func store(key: [Double], value: [Double], layer: Int, _ batch: BatchMetadata) {
      let width = spec.kvHeads * spec.headDim
      // Keys in int8 are rounded as they lie rotated.
      let key =
        spec.dtype == .int8
        ? rotated(rounded(rotated(key), group: CacheType.keyGroup), back: true)
        : rounded(key, group: spec.headDim)
      let value = rounded(value, group: spec.headDim)
      for slice in batch.sequences {
        for row in 0..<slice.rowCount {
          let position = slice.contextLength - slice.rowCount + row
          let slot = self.slot(position, slice)
          for i in 0..<width {
            keys[layer][slot * width + i] = key[(slice.rowStart + row) * width + i]
            values[layer][slot * width + i] = value[(slice.rowStart + row) * width + i]
          }
        }
      }
    }

    func slot(_ position: Int, _ slice: SequenceSlice) -> Int {
      Int(slice.blockTable[position / spec.blockSize]) * spec.blockSize + position % spec.blockSize
    }
  }

  /// Rotates pairs of each head's leading elements by their row's position.
  public static func rope(_ x: [Double], width: Int, _ spec: RoPE, positions: [Int32]) -> Result {
    var result = Result(values: x, magnitudes: x.map(\.magnitude))
    for (row, position) in positions.enumerated() {
      for head in 0..<width / spec.headDim {
        let start = row * width + head * spec.headDim
        for pair in 0..<spec.rotaryDim / 2 {
          let exponent = -2 * Double(pair) / Double(spec.rotaryDim)
          let angle = Double(position) / Double(spec.positionScale) * pow(Double(spec.base), exponent)
          let first = spec.pairing == .neighbours ? start + 2 * pair : start + pair
          let second = spec.pairing == .neighbours ? first + 1 : first + spec.rotaryDim / 2
          result.values[first] = x[first] * cos(angle) - x[second] * sin(angle)
          result.values[second] = x[first] * sin(angle) + x[second] * cos(angle)
          result.magnitudes[first] = x[first].magnitude + x[second].magnitude
          result.magnitudes[second] = result.magnitudes[first]
        }
      }
    }
    return result
  }

  /// Causal grouped-query attention over the cache.
  ///
  /// Magnitudes are Σ p|v| · (1 + the largest scale · Σ|q·k| of the row's scores): an error of a score is an
  /// error of its weight's exponent.
  public static func attention(
    _ query: [Double], heads: Int, scale: Double, layer: Int, cache: Cache, _ batch: BatchMetadata
  ) -> Result {
    let size = cache.spec.headDim
    var result = Result(count: query.count)
    for slice in batch.sequences {
      let slots = (0..<slice.contextLength).map { cache.slot($0, slice) }
      for row in 0..<slice.rowCount {
        let visible = slots[0..<(slice.contextLength - slice.rowCount + row + 1)]
        for head in 0..<heads {
          let start = ((slice.rowStart + row) * heads + head) * size
          let group = head / (heads / cache.spec.kvHeads)
          attend(query, start, group, scale, visible, layer, cache, &result)
        }
      }
    }
    return result
  }

  private static func attend(
    _ query: [Double], _ start: Int, _ group: Int, _ scale: Double, _ visible: ArraySlice<Int>, _ layer: Int,
    _ cache: Cache, _ result: inout Result
  ) {
    let size = cache.spec.headDim
    let width = cache.spec.kvHeads * size
    var scores: [Double] = []
    var largest = 0.0
    query.withUnsafeBufferPointer { query in
      cache.keys[layer].withUnsafeBufferPointer { keys in
        for slot in visible {
          let key = slot &* width &+ group &* size
          var (sum, magnitude, i) = (0.0, 0.0, 0)
          while i < size {
            let term = query[start &+ i] * keys[key &+ i]
            sum += term
            magnitude += term.magnitude
            i &+= 1
          }
          scores.append(sum * scale)
          largest = max(largest, magnitude * scale)
        }
      }
    }
    let weights = softmax(scores)
    cache.values[layer].withUnsafeBufferPointer { values in
      for (weight, slot) in zip(weights, visible) {
        let value = slot &* width &+ group &* size
        var i = 0
        while i < size {
          let term = weight * values[value &+ i]
          result.values[start &+ i] += term
          result.magnitudes[start &+ i] += term.magnitude * (1 + largest)
          i &+= 1
        }
      }
    }
  }

  /// Softmax of one row.
  static func softmax(_ x: [Double]) -> [Double] {
    let highest = x.max() ?? 0
    let weights = x.map { exp($0 - highest) }
    let sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
  }
}
