/// Where the time of a run went, in nanoseconds; what no phase claims is ``otherNanoseconds``.
public struct PhaseTimes: Sendable, Hashable {
  public enum Phase: String, Sendable, CaseIterable {
    /// Rendering and tokenising prompts, checking requests.
    case prompts
    /// Choosing what runs in a step and laying out its batch.
    case schedule
    /// The model but for attention, the share of rows that are prefill.
    case prefill
    /// The model but for attention, the share of rows that follow a sampled token.
    case decode
    case attention
    /// What is asked of each row of logits: the masks of grammars, made or found.
    case mask
    /// Waiting for the device and reading back what is wanted of the logits; on a device that runs at once, the choice
    /// among the logits, where masks are applied.
    case readBack = "read_back"
    /// Choosing tokens, advancing grammars, text, ends of sequences, records.
    case sample
  }

  /// From the start of the run to its end.
  public var wallNanoseconds: UInt64 = 0
  private var values: [Phase: UInt64] = [:]

  public init() {}

  public subscript(phase: Phase) -> UInt64 { values[phase] ?? 0 }

  public mutating func add(_ nanoseconds: UInt64, to phase: Phase) {
    values[phase] = (values[phase] ?? 0) &+ nanoseconds
  }

  /// The wall time less all phases: together they are the wall time exactly. Negative only where phases were
  /// counted that the wall time does not span.
  public var otherNanoseconds: Int64 {
    Int64(truncatingIfNeeded: values.values.reduce(wallNanoseconds) { $0 &- $1 })
  }

  /// Adds a step's model time, attention apart, the rest shared by the rows of each kind.
  public mutating func addModel(
    nanoseconds: UInt64, attention: UInt64, prefillRows: Int, decodeRows: Int
  ) {
    let attention = min(attention, nanoseconds)
    let rest = nanoseconds - attention
    let (prefill, decode) = (max(0, prefillRows), max(0, decodeRows))
    // Doubles would lose nothing that a clock shows, but whole numbers make the sum exact.
    let share = rest.multipliedFullWidth(by: UInt64(prefill))
    let rows = UInt64(prefill) &+ UInt64(decode)
    let prefillPart = rows == 0 ? rest : rows.dividingFullWidth(share).quotient
    add(attention, to: .attention)
    add(prefillPart, to: .prefill)
    add(rest - prefillPart, to: .decode)
  }
}
