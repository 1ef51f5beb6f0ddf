import Foundation

/// A chart's axis: the range of data it shows and round values to mark on it.
struct ChartAxis: Sendable, Equatable {
  let low: Double
  let high: Double
  let ticks: [Double]
  /// The distance of two ticks.
  private let step: Double

  /// An axis over all finite `values`, widened to round ends unless `fixed` names them.
  ///
  /// - Parameter count: about how many ticks to have.
  init(covering values: [Double], count: Int = 5, fixed: ClosedRange<Double>? = nil) {
    // Beyond this a difference of two values need not be finite.
    let usable = values.filter { abs($0) < 1e300 }
    var low = fixed?.lowerBound ?? usable.min() ?? 0
    var high = fixed?.upperBound ?? usable.max() ?? 1
    if high - low <= max(abs(low), abs(high)) * 1e-9 {
      let room = high == 0 ? 1 : abs(high) * 0.05
      low -= room
      high += room
    }
    step = ChartAxis.roundStep((high - low) / Double(max(1, count)))
    if fixed == nil {
      low = (low / step + 1e-9).rounded(.down) * step
      high = (high / step - 1e-9).rounded(.up) * step
      // Values too close together for any step share one.
      if high <= low { high = low + step }
    }
    self.low = low
    self.high = high
    let first = (low / step - 1e-9).rounded(.up)
    let last = (high / step + 1e-9).rounded(.down)
    var ticks: [Double] = []
    var number = first
    while number <= last, ticks.count < 64 {
      // One rounding a tick: a sum of steps would drift. Below 1 the step's inverse is the whole number.
      ticks.append(step >= 1 ? number * step : number / (1 / step).rounded())
      number += 1
    }
    self.ticks = ticks
  }

  /// 1, 2 or 5 times a power of ten, at least two thirds of `step`.
  private static func roundStep(_ step: Double) -> Double {
    guard step.isFinite, step > 1e-300 else { return 1 }
    let power = pow(10, log10(step).rounded(.down))
    for factor in [1.0, 2, 5] where factor * power * 1.5 >= step { return factor * power }
    return 10 * power
  }

  /// A tick's value with as many decimals as the ticks need.
  func label(_ value: Double) -> String {
    let largest = max(abs(low), abs(high))
    if largest >= 1e6 || (largest < 1e-3 && largest > 0) { return Figure.compact(value) }
    let decimals = max(0, Int(-log10(step).rounded(.down)))
    return step >= 1 && largest >= 10_000 ? Figure.count(Int(value)) : Figure.text(value, decimals: decimals)
  }

  /// Where `value` lies between `start` (for ``low``) and `end` (for ``high``) in drawing units.
  func position(_ value: Double, from start: Double, to end: Double) -> Double {
    start + (value - low) / (high - low) * (end - start)
  }
}
