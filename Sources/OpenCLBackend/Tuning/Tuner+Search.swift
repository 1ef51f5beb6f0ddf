import Basics
import Tensors

extension Tuner {
  /// Choices that go into the last, interleaved rounds beside the shipped one.
  private static let finalists = 3
  /// The least that a timed sample lasts.
  private static let sampleSeconds = 0.001

  /// A kernel and class with everything that candidates are judged by.
  private struct Bench {
    let kernel: TunableKernel
    let shapeClass: String
    let trial: TuningTrial
    /// Results of the portable kernels, and of the shipped parameters.
    let reference: [Float]
    let baseline: [Float]
    /// Runs of a sample.
    let repeats: Int
  }

  /// Tries choices for two thirds of the time, then the best few against the shipped one in turn. What won is in
  /// effect for the kernels that follow.
  func search(_ kernel: TunableKernel, _ shapeClass: String, until deadline: Double) throws -> Finding {
    let start = Self.now
    let defaults = shipped[kernel, shapeClass]
    let choices = ordered(kernel, shapeClass)
    func finding(flops: Int, bytes: Int, failure: String? = nil) -> Finding {
      Finding(
        kernel: kernel.name, shapeClass: shapeClass, defaults: defaults, best: defaults, defaultSeconds: 0,
        bestSeconds: 0, flops: flops, bytes: bytes, timed: 0, choices: choices.count + 1, refused: [],
        rejected: [], failure: failure)
    }
    backend.tuning[kernel, shapeClass] = defaults
    let bench: Bench
    do { bench = try prepare(kernel, shapeClass) } catch let error as RetortError {
      return finding(flops: 0, bytes: 0, failure: Self.line(error.message))
    }
    var result = finding(flops: bench.trial.flops, bytes: bench.trial.bytes)
    var times: [(parameters: KernelParameters, seconds: Double)] = []
    let searchEnd = start + (deadline - start) * 2 / 3
    for choice in choices {
      // However short the time, one choice is looked at.
      if Self.now > searchEnd, !(times.isEmpty && result.refused.isEmpty && result.rejected.isEmpty) { break }
      if let objection = kernel.objection(choice, device) {
        result.refused.append("\(choice): \(objection)")
        continue
      }
      do {
        backend.tuning[kernel, shapeClass] = choice
        if let complaint = try self.complaint(bench) {
          result.rejected.append("\(choice): \(complaint)")
        } else {
          times.append((choice, try sample(bench)))
        }
      } catch let error as RetortError {
        result.refused.append("\(choice): \(Self.line(error.message))")
      }
    }
    result.timed = times.count + 1
    let best = times.sorted { $0.seconds < $1.seconds }.prefix(Self.finalists).map(\.parameters)
    try decide(bench, [defaults] + best, until: deadline, &result)
    backend.tuning[kernel, shapeClass] = result.best
    return result
  }

  /// All choices but the shipped one: what was found earlier, then those that differ from it or from the shipped one
  /// in one value, in two and so on, since a short search ends early; equals in random order.
  private func ordered(_ kernel: TunableKernel, _ shapeClass: String) -> [KernelParameters] {
    let known = [shipped[kernel, shapeClass], earlier[kernel, shapeClass]]
    func distance(_ choice: KernelParameters) -> Int {
      known.map { $0.values.count { choice.values[$0.key] != $0.value } }.min() ?? 0
    }
    return kernel.choices.filter { $0 != known[0] }.shuffled(using: &random).enumerated()
      .map { (choice: $0.element, order: (distance($0.element), $0.offset)) }
      .sorted { $0.order < $1.order }.map(\.choice)
  }

  /// Makes the inputs on both backends and holds the shipped parameters to the portable kernels.
  private func prepare(_ kernel: TunableKernel, _ shapeClass: String) throws -> Bench {
    let portable = try reference.read(kernel.trial(reference, shapeClass).run())
    let trial = try kernel.trial(backend, shapeClass)
    let baseline = try backend.read(trial.run())
    if let complaint = Self.difference(baseline, portable, trial.tolerance) {
      throw RetortError(
        .deviceFailure, "the shipped parameters: \(complaint)", field: kernel.name,
        remedy: "Please report it with the output of 'retort devices --probe'.")
    }
    let start = Self.now
    _ = try trial.run()
    try backend.synchronize()
    let seconds = max(Self.now - start, 1e-7)
    return Bench(
      kernel: kernel, shapeClass: shapeClass, trial: trial, reference: portable, baseline: baseline,
      repeats: min(64, max(1, Int((Self.sampleSeconds / seconds).rounded(.up)))))
  }

  /// What is wrong with the results of the parameters of the moment; nil where nothing is.
  private func complaint(_ bench: Bench) throws -> String? {
    let values = try backend.read(bench.trial.run())
    if bench.kernel.changesBits { return Self.difference(values, bench.reference, bench.trial.tolerance) }
    guard values.count == bench.baseline.count else { return "\(values.count) results" }
    let index = values.indices.first { values[$0].bitPattern != bench.baseline[$0].bitPattern }
    return index.map { "element \($0) is \(values[$0]), not \(bench.baseline[$0])" }
  }

  /// Where two results differ by more than a share of the root mean square of the second; nil where they do not.
  static func difference(_ values: [Float], _ reference: [Float], _ tolerance: Float) -> String? {
    guard values.count == reference.count else { return "\(values.count) results, not \(reference.count)" }
    let squares = reference.reduce(0.0) { $0 + Double($1) * Double($1) }
    let limit = Double(tolerance) * (squares / Double(max(1, reference.count))).squareRoot()
    // A result that is not a number is no nearer than the limit either.
    let index = values.indices.first { !(abs(Double(values[$0]) - Double(reference[$0])) <= limit) }
    return index.map { "element \($0) is \(values[$0]), and \(reference[$0]) by the portable kernel" }
  }

  /// Seconds of a run: the fastest of three samples.
  private func sample(_ bench: Bench, _ count: Int = 3) throws -> Double {
    var best = Double.infinity
    for _ in 0..<count {
      let start = Self.now
      for _ in 0..<bench.repeats { _ = try bench.trial.run() }
      try backend.synchronize()
      best = min(best, (Self.now - start) / Double(bench.repeats))
    }
    return best
  }

  /// Times the choices in turn until the deadline, at least three rounds; the shipped one keeps its place unless
  /// another is clearly faster.
  private func decide(
    _ bench: Bench, _ choices: [KernelParameters], until deadline: Double, _ result: inout Finding
  ) throws {
    var best = [Double](repeating: .infinity, count: choices.count)
    var rounds = 0
    while rounds < 3 || (Self.now < deadline && rounds < 50) {
      for (index, choice) in choices.enumerated() {
        backend.tuning[bench.kernel, bench.shapeClass] = choice
        best[index] = min(best[index], try sample(bench, 1))
      }
      rounds += 1
    }
    result.defaultSeconds = best[0]
    let winner = best.indices.min { best[$0] < best[$1] } ?? 0
    let wins = best[winner] * (1 + settings.leastGain) < best[0]
    result.best = choices[wins ? winner : 0]
    result.bestSeconds = best[wins ? winner : 0]
  }

  static func line(_ text: String) -> String {
    let line = text.split(whereSeparator: \.isNewline).joined(separator: "; ")
    return line.count > 200 ? line.prefix(200) + "…" : line
  }
}
