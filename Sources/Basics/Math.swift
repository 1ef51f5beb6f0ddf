import Foundation

/// `base` to the power `exponent`, for modules that need no more of Foundation.
public func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }

/// Sine and cosine of an angle in radians.
public func sineAndCosine(_ angle: Double) -> (sine: Double, cosine: Double) { (sin(angle), cos(angle)) }

/// The natural logarithm.
public func logarithm(_ x: Double) -> Double { log(x) }
