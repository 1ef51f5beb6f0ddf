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

    /// Writes a batch's rows into the slots that the block tables name, rounded to the cache's type.
    public mutating func store(key: [Double], value: [Double], layer: Int, _ batch: BatchMetadata) {
      let width = spec.kvHeads * spec.headDim
      func rounded(_ x: Double) -> Double {
        switch spec.dtype {
        case .f16: Double(Float16(x))
        case .bf16: Double(BFloat16(Float(x)).float)
        default: x
        }
      }
      for slice in batch.sequences {
        for row in 0..<slice.rowCount {
          let position = slice.contextLength - slice.rowCount + row
          let slot = self.slot(position, slice)
          for i in 0..<width {
            keys[layer][slot * width + i] = rounded(key[(slice.rowStart + row) * width + i])
            values[layer][slot * width + i] = rounded(value[(slice.rowStart + row) * width + i])
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
