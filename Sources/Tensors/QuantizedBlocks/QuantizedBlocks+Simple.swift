// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Basics

/// The block types of 32 elements with one scale (and for `_1` one minimum) each.
///
/// Nibble `i` of the low halves is element `i`, of the high halves element `i + 16`; the fifth bits of a 5-bit
/// block are one little-endian 32-bit word, bit `i` for element `i`.
extension QuantizedBlocks {
  static func decodeQ4_0(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>) {
    let scale = half(source, 0)
    for i in 0..<16 {
      target[i] = scale * Float(Int(source[2 + i] & 15) - 8)
      target[i + 16] = scale * Float(Int(source[2 + i] >> 4) - 8)
    }
  }

  static func decodeQ4_1(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>) {
    let scale = half(source, 0)
    let minimum = half(source, 2)
    for i in 0..<16 {
      target[i] = scale * Float(source[4 + i] & 15) + minimum
      target[i + 16] = scale * Float(source[4 + i] >> 4) + minimum
    }
  }

  static func decodeQ5_0(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>) {
    let scale = half(source, 0)
    let high = source.loadUnaligned(fromByteOffset: 2, as: UInt32.self)
    for i in 0..<16 {
      let low = Int(source[6 + i] & 15) | Int((high >> UInt32(i)) & 1) << 4
      let upper = Int(source[6 + i] >> 4) | Int((high >> UInt32(i + 16)) & 1) << 4
      target[i] = scale * Float(low - 16)
      target[i + 16] = scale * Float(upper - 16)
    }
  }

  static func decodeQ5_1(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>) {
    let scale = half(source, 0)
    let minimum = half(source, 2)
    let high = source.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
    for i in 0..<16 {
      let low = Int(source[8 + i] & 15) | Int((high >> UInt32(i)) & 1) << 4
      let upper = Int(source[8 + i] >> 4) | Int((high >> UInt32(i + 16)) & 1) << 4
      target[i] = scale * Float(low) + minimum
      target[i + 16] = scale * Float(upper) + minimum
    }
  }

  static func decodeQ8_0(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>) {
    let scale = half(source, 0)
    for i in 0..<32 {
      target[i] = scale * Float(Int8(bitPattern: source[2 + i]))
    }
  }

  static func encodeQ4_0(_ source: UnsafeBufferPointer<Float>, _ target: UnsafeMutableRawBufferPointer) {
    let scale = extreme(source) / -8
    let factor = inverse(scale)
    store(half: scale, target, 0)
    storeNibbles(source.map { UInt8(clamped($0 * factor + 8, 0, 15)) }, target, 2)
  }

  static func encodeQ4_1(_ source: UnsafeBufferPointer<Float>, _ target: UnsafeMutableRawBufferPointer) {
    let (minimum, scale) = range(source, steps: 15)
    let factor = inverse(scale)
    store(half: scale, target, 0)
    store(half: minimum, target, 2)
    storeNibbles(source.map { UInt8(clamped(($0 - minimum) * factor, 0, 15)) }, target, 4)
  }

  static func encodeQ5_0(_ source: UnsafeBufferPointer<Float>, _ target: UnsafeMutableRawBufferPointer) {
    let scale = extreme(source) / -16
    let factor = inverse(scale)
    let quants = source.map { UInt8(clamped($0 * factor + 16, 0, 31)) }
    store(half: scale, target, 0)
    target.storeBytes(of: fifthBits(quants), toByteOffset: 2, as: UInt32.self)
    storeNibbles(quants, target, 6)
  }

  static func encodeQ5_1(_ source: UnsafeBufferPointer<Float>, _ target: UnsafeMutableRawBufferPointer) {
    let (minimum, scale) = range(source, steps: 31)
    let factor = inverse(scale)
    let quants = source.map { UInt8(clamped(($0 - minimum) * factor, 0, 31)) }
    store(half: scale, target, 0)
    store(half: minimum, target, 2)
    target.storeBytes(of: fifthBits(quants), toByteOffset: 4, as: UInt32.self)
    storeNibbles(quants, target, 8)
  }

  static func encodeQ8_0(_ source: UnsafeBufferPointer<Float>, _ target: UnsafeMutableRawBufferPointer) {
    let scale = abs(extreme(source)) / 127
    let factor = inverse(scale)
    store(half: scale, target, 0)
    for i in 0..<32 {
      target[2 + i] = UInt8(bitPattern: Int8(clamped(source[i] * factor, -127, 127)))
    }
  }

  private static func range(_ source: UnsafeBufferPointer<Float>, steps: Float) -> (Float, Float) {
    let minimum = source.min() ?? 0
    return (minimum, ((source.max() ?? 0) - minimum) / steps)
  }

  private static func fifthBits(_ quants: [UInt8]) -> UInt32 {
    quants.enumerated().reduce(0) { $0 | UInt32($1.element >> 4) << UInt32($1.offset) }
  }

  private static func storeNibbles(
    _ quants: [UInt8], _ target: UnsafeMutableRawBufferPointer, _ offset: Int
  ) {
    for i in 0..<16 {
      target[offset + i] = quants[i] & 15 | (quants[i + 16] & 15) << 4
    }
  }
}
