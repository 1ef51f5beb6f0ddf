/// Tokens that a grammar leaves no choice about, inserted without sampling (jump-forward).
///
/// The rule, which depends on the state alone and so on the text of this sequence alone:
/// 1. The tokens chosen so far stay as they are; the forced text F begins after the last of them.
/// 2. F is cut back to whole characters. Where F begins inside a character, or the tokenizer's ids do not spell F
///    byte for byte (normalisation, a byte without a token), nothing is inserted and the model samples.
/// 3. F is encoded on its own, special tokens not parsed.
/// 4. From the first token on at which a longer token could legally begin (one that spells the rest of F and goes
///    on as the grammar allows), the tokens are held back: the model samples there, under the mask.
///
/// So " - " before free text becomes the token " -" while the last space stays open for " word".
public struct Jump: Sendable, Equatable {
  /// The ids to append.
  public var tokens: [Int32]
  /// The state after them.
  public var state: TokenConstraint.StateID
}

extension TokenVocabulary {
  /// What to insert at a state.
  func jump(_ state: Int32, _ automaton: inout GrammarAutomaton, forcedBytes limit: Int) throws -> Jump {
    let none = Jump(tokens: [], state: state)
    let forced = try automaton.forcedBytes(state, atMost: limit)
    let whole = forced.dropLast(TokenVocabulary.unfinishedBytes(forced))
    guard !whole.isEmpty, let ids = encode(whole) else { return none }
    var states = [state]
    for byte in whole { states.append(try automaton.step(states[states.count - 1], byte: byte)) }
    let end = states[states.count - 1]
    var offset = 0
    var kept = 0
    for id in ids {
      if try hasLongerToken(from: whole[offset...], then: end, &automaton) { break }
      offset += bytes(of: id).count
      kept += 1
    }
    return Jump(tokens: Array(ids[..<kept]), state: states[offset])
  }

  /// Whether a token spells `tail` and then at least one more byte that the grammar allows.
  private func hasLongerToken(
    from tail: ArraySlice<UInt8>, then state: Int32, _ automaton: inout GrammarAutomaton
  ) throws -> Bool {
    guard let top = node(at: tail) else { return false }
    var path = [Int32](repeating: state, count: deepest + 1)
    var node = top + 1
    while node < Int(nodes[top].skip) {
      let depth = Int(nodes[node].depth)
      let next = try automaton.step(path[depth - 1], byte: nodes[node].byte)
      if next == GrammarAutomaton.dead {
        node = Int(nodes[node].skip)
        continue
      }
      if nodes[node].token >= 0 { return true }
      path[depth] = next
      node += 1
    }
    return false
  }

  /// How many bytes at the end begin a character without finishing it.
  private static func unfinishedBytes(_ bytes: [UInt8]) -> Int {
    for length in 1...3 where length <= bytes.count {
      let lead = bytes[bytes.count - length]
      if lead & 0xC0 == 0x80 { continue }
      return length < (lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1) ? length : 0
    }
    return 0
  }
}
