import Tensors

/// Masks for an answer that must end within a number of tokens: of the tokens that the grammar allows, those after
/// which a legal ending still fits.
///
/// Where free text goes on (a repetition that need not), room is also kept for the choices ahead, so that the text is
/// cut and not the choice: with the verdict still to come, each of them fits, not the shortest alone.
extension TokenConstraint {
  /// A mask, and whether the room left out some of what the grammar allows.
  struct RoomMask {
    var mask: AllowedTokens
    var isNarrowed: Bool
  }

  /// Tokens of room beyond the shortest ending from which on all that the grammar allows is allowed.
  ///
  /// A token whose text needs a longer ending than this is found when it has been chosen.
  static let roomLookahead = 16

  /// The tokens that may follow with room for `room` tokens.
  ///
  /// - Parameter ending: a legal ending from here of at most `room` tokens; its first token is always allowed.
  func mask(_ state: StateID, room: Int, ending: [Int32]) throws -> RoomMask {
    let plain = try mask(state)
    let shortest = try closing(state).count
    return try core.withLock { core in
      let spread = core.automaton.spread(state)
      guard room < GrammarProgram.sum(shortest + TokenConstraint.roomLookahead, spread) else {
        return RoomMask(mask: plain.allowed, isNarrowed: false)
      }
      let tiers = try core.narrowedMasks(state, plain: plain, vocabulary)
      if let mask = tiers.withChoices.last(where: { $0.need <= room })?.mask {
        return RoomMask(mask: mask, isNarrowed: mask.count < plain.count)
      }
      var mask = tiers.shortest.last { $0.need <= room }?.mask
      if let first = ending.first, !(mask?.contains(first) ?? false) {
        var words = mask?.words ?? [UInt32](repeating: 0, count: plain.words.count)
        words[Int(first) >> 5] |= 1 << UInt32(first & 31)
        mask = AllowedTokens(words: words)
      }
      let allowed = mask ?? AllowedTokens(words: [UInt32](repeating: 0, count: plain.words.count))
      return RoomMask(mask: allowed, isNarrowed: allowed.count < plain.count)
    }
  }
}

/// The masks of states by the room there is, made on first use.
struct NarrowedMasks {
  /// What is allowed with room for `need` tokens.
  struct Tier {
    var need: Int
    var mask: AllowedTokens
  }

  /// By rising need.
  struct Tiers {
    var shortest: [Tier] = []
    /// With room for every choice ahead; empty where no free text goes on.
    var withChoices: [Tier] = []
  }

  private var states: [Int32: Tiers] = [:]
  private var bytes = 0

  func find(_ state: Int32) -> Tiers? { states[state] }

  mutating func insert(_ tiers: Tiers, for state: Int32, maximumBytes: Int) {
    let size = (tiers.shortest + tiers.withChoices).reduce(64) { $0 + $1.mask.words.count * 4 }
    if bytes + size > maximumBytes {
      states = [:]
      bytes = 0
    }
    states[state] = tiers
    bytes += size
  }
}

extension TokenConstraint.Core {
  /// The tiers of a state: one walk through the vocabulary, then one shortest ending a state that it leads to.
  fileprivate mutating func narrowedMasks(
    _ state: Int32, plain: TokenMask, _ vocabulary: TokenVocabulary
  ) throws -> NarrowedMasks.Tiers {
    if let known = narrowed.find(state) { return known }
    let groups = try groupedByNext(state, vocabulary)
    let ends = automaton.canEnd(state) ? vocabulary.endTokens : []
    func tiers(_ need: (Int32) throws -> Int) rethrows -> [NarrowedMasks.Tier] {
      var byNeed: [Int: [[Int32]]] = ends.isEmpty ? [:] : [0: [ends]]
      for group in groups { byNeed[try need(group.next), default: []].append(group.tokens) }
      var words = [UInt32](repeating: 0, count: plain.words.count)
      return byNeed.sorted { $0.key < $1.key }.map { need, tokens in
        for token in tokens.joined() { words[Int(token) >> 5] |= 1 << UInt32(token & 31) }
        // The last tier is the whole mask, whose words exist.
        let mask = AllowedTokens(words: words)
        return NarrowedMasks.Tier(need: need, mask: mask.count == plain.count ? plain.allowed : mask)
      }
    }
    let shortest = try tiers { GrammarProgram.sum(1, try endingCount($0, vocabulary)) }
    let withChoices =
      automaton.isOpen(state)
      ? try tiers {
        GrammarProgram.sum(GrammarProgram.sum(1, try endingCount($0, vocabulary)), automaton.spread($0))
      } : []
    let result = NarrowedMasks.Tiers(shortest: shortest, withChoices: withChoices)
    narrowed.insert(result, for: state, maximumBytes: narrowedBytes)
    return result
  }

  /// The allowed tokens by the state that they lead to: tens of thousands of tokens, few states.
  private mutating func groupedByNext(_ state: Int32, _ vocabulary: TokenVocabulary) throws
    -> [(next: Int32, tokens: [Int32])]
  {
    var groups: [(next: Int32, tokens: [Int32])] = []
    var places: [Int32: Int] = [:]
    var last = -1
    try automaton.walk(vocabulary, from: state) { token, next in
      if last < 0 || groups[last].next != next {
        if let place = places[next] {
          last = place
        } else {
          last = groups.count
          places[next] = last
          groups.append((next, []))
        }
      }
      groups[last].tokens.append(token)
    }
    return groups
  }

  private var narrowedBytes: Int { 64 << 20 }

  /// How many tokens the shortest ending takes, where it is not too long to be spelled.
  private mutating func endingCount(_ state: Int32, _ vocabulary: TokenVocabulary) throws -> Int {
    if let known = closings[state] { return known.count }
    guard automaton.shortestLength(state) <= Grammar.longestText else { return GrammarProgram.unreachable }
    let tokens = vocabulary.spell(try automaton.shortestText(state))
    keep(tokens, closing: state)
    return tokens.count
  }

  /// Remembers the tokens of a shortest ending.
  mutating func keep(_ tokens: [Int32], closing state: Int32) {
    if closings.count >= 1 << 16 { closings.removeAll() }
    closings[state] = tokens
  }

  /// Forgets all states but the first and the `live` ones, and what is remembered of them.
  mutating func release(keeping live: Set<Int32>) {
    automaton.release(keeping: live)
    masks.keep { automaton.contains($0) }
    jumps.removeAll()
    closings.removeAll()
    narrowed = NarrowedMasks()
  }
}

/// Held by an answer under a constraint for as long as it is on its way.
final class ConstraintLease: Sendable {
  let constraint: TokenConstraint

  init(_ constraint: TokenConstraint) {
    self.constraint = constraint
    constraint.core.withLock { $0.leases += 1 }
  }

  deinit { constraint.core.withLock { $0.leases -= 1 } }
}

extension TokenConstraint {
  /// Whether there are so many states that unused ones should be let go.
  var isCrowded: Bool { core.withLock { $0.automaton.stateCount > max(limits.idleStates, $0.crowd) } }

  /// Lets go of the states that none of `live` is, where these are the states of all answers on their way; does
  /// nothing where others, of another engine, are.
  func releaseStates(keeping live: [StateID]) {
    core.withLock { core in
      guard core.leases == live.count else { return }
      core.release(keeping: Set(live))
      // Where most of them are in use, the next time comes when there are twice as many.
      core.crowd = core.automaton.stateCount * 2
    }
  }
}
