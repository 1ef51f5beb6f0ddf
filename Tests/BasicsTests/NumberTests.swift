import Basics
import Testing

@Suite struct BFloat16Tests {
  @Test func everyBitPatternSurvivesTheWayThroughFloat() {
    for pattern in UInt16.min...UInt16.max {
      let value = BFloat16(bitPattern: pattern)
      let again = BFloat16(value.float)
      if value.float.isNaN {
        #expect(again.float.isNaN)
      } else {
        #expect(again.bitPattern == pattern)
      }
    }
  }

  @Test func halfwayRoundsToTheEvenNeighbour() {
    // Between 0x3F80 (1.0) and 0x3F81, and between 0x3F81 and 0x3F82.
    #expect(BFloat16(Float(bitPattern: 0x3F80_8000)).bitPattern == 0x3F80)
    #expect(BFloat16(Float(bitPattern: 0x3F81_8000)).bitPattern == 0x3F82)
  }

  @Test func anythingOffHalfwayRoundsToTheNearest() {
    #expect(BFloat16(Float(bitPattern: 0x3F80_7FFF)).bitPattern == 0x3F80)
    #expect(BFloat16(Float(bitPattern: 0x3F80_8001)).bitPattern == 0x3F81)
    #expect(BFloat16(Float(bitPattern: 0xBF80_8001)).bitPattern == 0xBF81)
  }

  @Test func noRoundedValueIsCloserThanTheChosenOne() {
    let philox = Philox(key: 11)
    for index in 0..<2000 {
      let bits = philox.words(UInt64(index))[0]
      let value = Float(bitPattern: bits)
      guard value.isFinite, value.magnitude < 3e38 else { continue }
      let chosen = BFloat16(value)
      let error = abs(Double(chosen.float) - Double(value))
      for neighbour in [chosen.bitPattern &- 1, chosen.bitPattern &+ 1] {
        let other = BFloat16(bitPattern: neighbour).float
        guard other.isFinite else { continue }
        #expect(error <= abs(Double(other) - Double(value)))
      }
    }
  }

  @Test func theLargestFloatRoundsToInfinityAndInfinityStays() {
    #expect(BFloat16(Float.greatestFiniteMagnitude).float == .infinity)
    #expect(BFloat16(Float.infinity).float == .infinity)
    #expect(BFloat16(-Float.infinity).float == -.infinity)
  }

  @Test func aNotANumberWhosePayloadLiesInTheLowerHalfStaysOne() {
    #expect(BFloat16(Float(bitPattern: 0x7F80_0001)).float.isNaN)
    #expect(BFloat16(Float(bitPattern: 0xFFFF_FFFF)).float.isNaN)
  }

  @Test func theSignOfZeroIsKept() {
    #expect(BFloat16(Float(0)).bitPattern == 0)
    #expect(BFloat16(-Float(0)).bitPattern == 0x8000)
  }
}

@Suite struct DTypeTests {
  @Test func byteCountsFollowTheBlockLayouts() {
    let expected: [DType: Int] = [
      .f32: 1024, .f16: 512, .bf16: 512, .i32: 1024, .q4_0: 144, .q4_1: 160, .q5_0: 176, .q5_1: 192,
      .q8_0: 272, .q4_K: 144, .q5_K: 176, .q6_K: 210,
    ]
    for type in DType.allCases { #expect(type.byteCount(elements: 256) == expected[type]) }
  }

  @Test func aBrokenBlockHasNoByteCount() {
    for type in DType.allCases where type.isQuantized {
      #expect(type.byteCount(elements: type.blockSize + 1) == nil)
      #expect(type.byteCount(elements: 0) == 0)
    }
  }

  @Test func negativeAndOverflowingCountsHaveNoByteCount() {
    for type in DType.allCases { #expect(type.byteCount(elements: -type.blockSize) == nil) }
    #expect(DType.f32.byteCount(elements: Int.max) == nil)
    #expect(DType.bf16.byteCount(elements: Int.max / 2 + 1) == nil)
    #expect(DType.q8_0.byteCount(elements: Int.max / 32 * 32) == nil)
    #expect(DType.f32.byteCount(elements: Int.max / 4) == Int.max / 4 * 4)
  }
}

@Suite struct ShapeTests {
  @Test func countMultipliesTheExtents() {
    #expect(Shape([]).checkedCount == 1)
    #expect(Shape([3, 5, 7]).checkedCount == 105)
    #expect(Shape([3, 5, 7]).count == 105)
    #expect(Shape([3, 0, 7]).checkedCount == 0)
  }

  @Test func anOverflowingProductHasNoCount() {
    #expect(Shape([1 << 32, 1 << 31]).checkedCount == nil)
    #expect(Shape([1 << 31, 1 << 31]).checkedCount == 1 << 62)
    #expect(Shape([Int.max, 2]).checkedCount == nil)
  }

  @Test func aNegativeExtentHasNoCountEvenBesideAnother() {
    #expect(Shape([-1]).checkedCount == nil)
    #expect(Shape([-2, -3]).checkedCount == nil)
  }

  @Test func descriptionListsTheExtentsOutermostFirst() {
    #expect(Shape([2, 3]).description == "[2, 3]")
  }
}

@Suite struct MathTests {
  @Test func powerAndAnglesAgreeWithKnownValues() {
    #expect(power(10_000, -0.5) == 0.01)
    #expect(sineAndCosine(0) == (0, 1))
    #expect(abs(sineAndCosine(.pi / 6).sine - 0.5) < 1e-15)
  }
}
