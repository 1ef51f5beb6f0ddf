import Foundation
import Generation
import Labelling
import Tensors

/// A measurement for people and for machines.
struct LabelReport {
  let run: LabelRun
  let measured: LabelMeasurement
  let profile: ProfileReport?

  private var statistics: Engine.Statistics { measured.statistics }
  private var pairsPerSecond: Double {
    Double(measured.labelled + measured.failed) / max(measured.seconds, 1e-9)
  }

  /// Tokens by what became of them; the jumped ones are among the generated.
  private var tokens: [(key: String, name: String, count: Int)] {
    [
      ("generated", "generated", measured.generatedTokens),
      ("jumped", "  of them jumped", measured.jumpedTokens),
      ("computed_prompt", "prompt, computed", statistics.computedPromptTokens),
      ("cached_prompt", "prompt, cached", statistics.cachedPromptTokens),
      ("recomputed", "computed again", statistics.recomputedTokens),
    ]
  }

  private static func name(_ phase: PhaseTimes.Phase) -> String {
    phase == .readBack ? "read-back" : phase.rawValue
  }

  /// All operations together: FLOPs and least bytes as their descriptions state them.
  private var sums: (flops: Double, bytes: Double) {
    (measured.profiler?.totals ?? [:]).values.reduce((0, 0)) {
      ($0.0 + Double($1.flops), $0.1 + Double($1.bytes))
    }
  }

  var text: String {
    let session = run.session
    var out =
      "\(session.name), \(session.compute.rawValue), \(session.backend.device.name), "
      + "\(run.batch) in flight, \(run.samples == 1 ? "" : "\(run.samples) samples a pair, ")prefix cache \(run.prefixCache ? "on" : "off")\n"
    out += String(
      format:
        "%.2f pairs/s: %d labelled (%d cut at the limit), %d failed in %.2f s, %d steps, %d preemptions\n\n",
      pairsPerSecond, measured.labelled, measured.truncated, measured.failed, measured.seconds,
      statistics.steps, statistics.preemptions)
    out += "tokens                 count    tokens/s\n"
    for (_, name, count) in tokens {
      out += pad(name) + String(format: "%9d %11.1f\n", count, Double(count) / measured.seconds)
    }
    out += "\nphase                      s   share\n"
    for phase in PhaseTimes.Phase.allCases {
      if phase == .attention, measured.profiler == nil { continue }
      out += phaseLine(LabelReport.name(phase), Double(measured.times[phase]))
    }
    out += phaseLine("other", Double(measured.times.otherNanoseconds))
    out += phaseLine("wall", Double(measured.times.wallNanoseconds))
    if let profile { out += wholeRun + "\n" + profile.text }
    return out + String(format: "\npeak memory %.0f MB\n", Double(peakMemoryBytes()) / 1e6)
  }

  private func pad(_ name: String) -> String { name.padding(toLength: 19, withPad: " ", startingAt: 0) }

  private func phaseLine(_ name: String, _ nanoseconds: Double) -> String {
    pad(name)
      + String(
        format: "%9.3f %6.1f%%\n", nanoseconds / 1e9,
        nanoseconds / max(1, Double(measured.times.wallNanoseconds)) * 100)
  }

  private var wholeRun: String {
    let wall = max(1, Double(measured.times.wallNanoseconds))
    return String(
      format: "\nwhole run: %.1f GFLOP/s, %.1f GB/s by what its operations state\n", sums.flops / wall,
      sums.bytes / wall)
  }

  /// - Throws: what `JSONSerialization` throws.
  func json() throws -> String {
    let session = run.session
    var phases: [String: Double] = [:]
    for phase in PhaseTimes.Phase.allCases {
      if phase == .attention, measured.profiler == nil { continue }
      phases[phase.rawValue] = Double(measured.times[phase]) / 1e9
    }
    phases["other"] = Double(measured.times.otherNanoseconds) / 1e9
    var fields: [String: Any] = [
      "model": session.name, "compute": session.compute.rawValue,
      "backend": session.backend.device.backend, "threads": session.backend.device.computeUnits,
      "batch": run.batch, "prefix_cache": run.prefixCache, "samples": run.samples,
      "max_tokens": run.maxTokens,
      "load_seconds": session.loadSeconds, "pairs": measured.labelled, "failed": measured.failed,
      "truncated": measured.truncated, "outline": run.form.rawValue,
      "seconds": measured.seconds, "pairs_per_second": pairsPerSecond,
      "steps": statistics.steps, "preemptions": statistics.preemptions, "phase_seconds": phases,
      "tokens": Dictionary(uniqueKeysWithValues: tokens.map { ($0.key, $0.count) }),
      "tokens_per_second": Dictionary(
        uniqueKeysWithValues: tokens.map { ($0.key, Double($0.count) / measured.seconds) }),
      "peak_memory_bytes": peakMemoryBytes(),
    ]
    if measured.profiler != nil {
      fields["flops_per_second"] = sums.flops / measured.seconds
      fields["bytes_per_second"] = sums.bytes / measured.seconds
      fields["profile"] = profile?.object
    }
    return try Output.json(fields)
  }
}
