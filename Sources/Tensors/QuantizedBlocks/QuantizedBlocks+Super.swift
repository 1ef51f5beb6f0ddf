// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Basics

/// The "K" types: super-blocks of 256 elements whose sub-blocks have quantised scales.
extension QuantizedBlocks {
  /// Scale and minimum (0...63 each) of the 32-element sub-block `index` from the 12 packed bytes at `offset`
  /// (ggml's `get_scale_min_k4`).
  static func scaleAndMinimum(_ bytes: UnsafeRawBufferPointer, _ offset: Int, _ index: Int) -> (Int, Int) {
    func byte(_ i: Int) -> Int { Int(bytes[offset + i]) }
    if index < 4 { return (byte(index) & 63, byte(index + 4) & 63) }
    return (
      byte(index + 4) & 15 | (byte(index - 4) >> 6) << 4,
      byte(index + 4) >> 4 | (byte(index) >> 6) << 4
    )
  }

  static func decodeQ4_K(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>) {
    let scale = half(source, 0)
    let minimumScale = half(source, 2)
    for sub in 0..<8 {
      let (s, m) = scaleAndMinimum(source, 4, sub)
      let d = scale * Float(s)
      let minimum = minimumScale * Float(m)
      for i in 0..<32 {
        let byte = source[16 + sub / 2 * 32 + i]
        target[sub * 32 + i] = d * Float(sub % 2 == 0 ? byte & 15 : byte >> 4) - minimum
      }
    }
  }

  static func decodeQ5_K(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>) {
    let scale = half(source, 0)
    let minimumScale = half(source, 2)
    for sub in 0..<8 {
      let (s, m) = scaleAndMinimum(source, 4, sub)
      let d = scale * Float(s)
      let minimum = minimumScale * Float(m)
      for i in 0..<32 {
        let byte = source[48 + sub / 2 * 32 + i]
        let fifth = (source[16 + i] >> UInt8(sub)) & 1
        target[sub * 32 + i] = d * Float((sub % 2 == 0 ? byte & 15 : byte >> 4) | fifth << 4) - minimum
      }
    }
  }

  static func decodeQ6_K(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>) {
    let scale = half(source, 208)
    for element in 0..<256 {
      let (low, high, shift, nibble) = q6Place(element)
      let bits = (source[low] >> nibble) & 15 | ((source[high] >> shift) & 3) << 4
      let sub = Float(Int8(bitPattern: source[192 + element / 16]))
      target[element] = scale * sub * Float(Int(bits) - 32)
    }
  }

  /// Where element `element` of a Q6_K block lies: byte of its low four bits, byte of its high two bits, and the
  /// shifts within both.
  private static func q6Place(_ element: Int) -> (low: Int, high: Int, shift: UInt8, nibble: UInt8) {
    let (part, group, i) = (element / 128, element % 128 / 32, element % 32)
    return (
      part * 64 + group % 2 * 32 + i, 128 + part * 32 + i, UInt8(group * 2), group < 2 ? 0 : 4
    )
  }

  static func encodeQ4_K(_ source: UnsafeBufferPointer<Float>, _ target: UnsafeMutableRawBufferPointer) {
    let quants = encodeWithMinima(source, target, steps: 15)
    for element in 0..<256 {
      let (sub, i) = (element / 32, element % 32)
      target[16 + sub / 2 * 32 + i] |= quants[element] << (sub % 2 == 0 ? 0 : 4)
    }
  }

  static func encodeQ5_K(_ source: UnsafeBufferPointer<Float>, _ target: UnsafeMutableRawBufferPointer) {
    let quants = encodeWithMinima(source, target, steps: 31)
    for element in 0..<256 {
      let (sub, i) = (element / 32, element % 32)
      target[48 + sub / 2 * 32 + i] |= (quants[element] & 15) << (sub % 2 == 0 ? 0 : 4)
      target[16 + i] |= (quants[element] >> 4) << UInt8(sub)
    }
  }

  /// Writes the 16-byte head of a Q4_K or Q5_K block and returns the 256 quants.
  private static func encodeWithMinima(
    _ source: UnsafeBufferPointer<Float>, _ target: UnsafeMutableRawBufferPointer, steps: Float
  ) -> [UInt8] {
    var scales = [Float](repeating: 0, count: 8)
    var minima = [Float](repeating: 0, count: 8)
    for sub in 0..<8 {
      let values = source[(sub * 32)..<(sub * 32 + 32)]
      let minimum = min(values.min() ?? 0, 0)
      scales[sub] = (max(values.max() ?? 0, 0) - minimum) / steps
      minima[sub] = -minimum
    }
    store(half: (scales.max() ?? 0) / 63, target, 0)
    store(half: (minima.max() ?? 0) / 63, target, 2)
    let head = UnsafeRawBufferPointer(target)
    let (scale, minimumScale) = (half(head, 0), half(head, 2))
    var quants = [UInt8](repeating: 0, count: 256)
    for sub in 0..<8 {
      let s = clamped(scales[sub] * inverse(scale), 0, 63)
      let m = clamped(minima[sub] * inverse(minimumScale), 0, 63)
      storeScaleAndMinimum(s, m, target, 4, sub)
      let factor = inverse(scale * Float(s))
      for i in (sub * 32)..<(sub * 32 + 32) {
        quants[i] = UInt8(clamped((source[i] + minimumScale * Float(m)) * factor, 0, steps))
      }
    }
    return quants
  }

  private static func storeScaleAndMinimum(
    _ scale: Int, _ minimum: Int, _ target: UnsafeMutableRawBufferPointer, _ offset: Int, _ index: Int
  ) {
    let (s, m) = (UInt8(scale), UInt8(minimum))
    if index < 4 {
      target[offset + index] |= s
      target[offset + index + 4] |= m
    } else {
      target[offset + index + 4] = s & 15 | (m & 15) << 4
      target[offset + index - 4] |= (s >> 4) << 6
      target[offset + index] |= (m >> 4) << 6
    }
  }

  static func encodeQ6_K(_ source: UnsafeBufferPointer<Float>, _ target: UnsafeMutableRawBufferPointer) {
    let scales = (0..<16).map { extreme(source[($0 * 16)..<($0 * 16 + 16)]) / -32 }
    store(half: extreme(scales) / -128, target, 208)
    let scale = half(UnsafeRawBufferPointer(target), 208)
    for sub in 0..<16 {
      let s = clamped(scales[sub] * inverse(scale), -128, 127)
      target[192 + sub] = UInt8(bitPattern: Int8(s))
      let factor = inverse(scale * Float(s))
      for element in (sub * 16)..<(sub * 16 + 16) {
        let quant = UInt8(clamped(source[element] * factor, -32, 31) + 32)
        let (low, high, shift, nibble) = q6Place(element)
        target[low] |= (quant & 15) << nibble
        target[high] |= (quant >> 4) << shift
      }
    }
  }
}
