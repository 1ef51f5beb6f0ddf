import Basics
import TestSupport
import Testing
import Tokenizers

@testable import Generation

/// Answers whose limit is near, and what a constraint keeps.
@Suite struct ConstraintRoomTests {
  static let verdicts = #"""
    root ::= "asks: " text ("\nline: " v " - " text){4} "\nLabel:"
    v ::= "match" | "mismatch" | "unspecified"
    text ::= [^\n]{1,30}
    """#

  @Test("Towards the limit free text is cut, not the choices: verdicts are sampled, each legal one possible")
  func choicesOutlastTheText() throws {
    let constraint = try ConstrainedEngineTests.constraint(Grammar(gbnf: ConstraintRoomTests.verdicts))
    let shortest = try constraint.closing(constraint.start).count
    var counts: [Substring: Int] = [:]
    for seed in 0..<60 {
      let maxTokens = shortest + 40 + seed % 30
      let completion = try ConstrainedEngineTests.run(
        GenerationRequest(
          prompt: [5, 6, 7, Int32(seed)], sampling: SamplingParameters(temperature: 1.3, seed: UInt64(seed)),
          maxTokens: maxTokens, constraint: constraint))
      #expect(completion.tokens.count <= maxTokens)
      let end = try constraint.advance(constraint.start, bytes: Array(completion.text.utf8))
      #expect(try constraint.isComplete(try #require(end)), "\(completion.text.debugDescription)")
      let lines = completion.text.split(separator: "\n")
      // Of the text's last lines, which the limit has shortened.
      for line in lines.dropFirst(3).dropLast() {
        let word = line.dropFirst(6).prefix { $0.isLetter }
        counts[word, default: 0] += 1
        #expect(["match", "mismatch", "unspecified"].contains(word))
      }
      #expect(completion.finishReason == .truncated || completion.limitedTokens.isEmpty)
    }
    #expect(counts.count == 3 && counts.values.allSatisfy { $0 > 5 }, "\(counts)")
  }

  @Test("Places where the limit left less to choose from are told; they are hardly ever in a choice's word")
  func limitedPlaces() throws {
    let constraint = try ConstrainedEngineTests.constraint(Grammar(gbnf: ConstraintRoomTests.verdicts))
    let tokenizer = try EngineTextTests.tokenizer()
    let shortest = try constraint.closing(constraint.start).count
    var limited = 0
    var (verdictTokens, limitedVerdictTokens) = (0, 0)
    for seed in 0..<30 {
      let request = GenerationRequest(
        prompt: [5, 6, Int32(seed)], sampling: SamplingParameters(temperature: 1.3, seed: UInt64(seed)),
        maxTokens: shortest + 60, constraint: constraint)
      let completion = try ConstrainedEngineTests.run(request)
      let places = Set(completion.limitedTokens)
      limited += places.count
      #expect(completion.limitedTokens == completion.limitedTokens.sorted())
      var text = ""
      for (place, token) in completion.tokens.enumerated() {
        let piece = tokenizer.decode([token], skipSpecial: false)
        let line = text.split(separator: "\n", omittingEmptySubsequences: false).last ?? ""
        let isVerdict = line.hasPrefix("line: ") && !line.dropFirst(6).contains(" ")
        if isVerdict, piece.contains(where: \.isLetter) {
          verdictTokens += 1
          if places.contains(place) { limitedVerdictTokens += 1 }
        }
        text += piece
      }
      var unbounded = request
      unbounded.maxTokens = 400
      let free = try ConstrainedEngineTests.run(unbounded)
      let own = completion.limitedTokens.first ?? completion.tokens.count
      #expect(free.tokens.prefix(own) == completion.tokens.prefix(own))
    }
    #expect(limited > 30)
    // A word written letter by letter may take the room kept for it before its end.
    #expect(verdictTokens > 120 && limitedVerdictTokens * 50 < verdictTokens)
  }

  @Test("Results under a near limit do not depend on the sequences beside")
  func companyUnderTheLimit() throws {
    let grammar = try Grammar(gbnf: ConstraintRoomTests.verdicts)
    let shared = try ConstrainedEngineTests.constraint(grammar)
    let engine = Engine.fake(
      ConstrainedEngineTests.limits, vocabularySize: EngineTextTests.vocabulary,
      tokenizer: try EngineTextTests.tokenizer())
    func request(_ seed: Int, _ constraint: TokenConstraint) -> GenerationRequest {
      GenerationRequest(
        prompt: [5, 6, Int32(seed)], sampling: SamplingParameters(temperature: 1.1, seed: UInt64(seed)),
        maxTokens: 90 + seed, wantsLogProbabilities: true, constraint: constraint)
    }
    let ids = try (0..<12).map { try engine.add(request($0, shared)) }
    let together = try engine.drain()
    for (seed, id) in ids.enumerated() {
      let alone = try ConstrainedEngineTests.run(
        request(seed, try ConstrainedEngineTests.constraint(grammar)))
      #expect(try together[id]?.get().summary == alone.summary)
      #expect(try together[id]?.get().limitedTokens == alone.limitedTokens)
    }
  }

  @Test("States of answers that are done are let go; those of a recursive grammar do not grow for ever")
  func statesAreLetGo() throws {
    let grammar = try Grammar(gbnf: #"root ::= "(" root ")" | "[" root "]" | "{" root "}" | "." "#)
    var limits = TokenConstraint.Limits()
    limits.idleStates = 100
    let vocabulary = TokenVocabulary(try EngineTextTests.tokenizer())
    let bounded = try TokenConstraint(grammar, vocabulary: vocabulary, limits: limits)
    let free = try TokenConstraint(grammar, vocabulary: vocabulary)
    func answers(_ constraint: TokenConstraint) throws -> (texts: [String], most: Int) {
      let engine = Engine.fake(
        ConstrainedEngineTests.limits, vocabularySize: EngineTextTests.vocabulary,
        tokenizer: try EngineTextTests.tokenizer())
      var texts: [String] = []
      var most = 0
      for round in 0..<40 {
        for part in 0..<3 {
          let seed = UInt64(round * 3 + part)
          _ = try engine.add(
            GenerationRequest(
              prompt: [5, Int32(seed)], sampling: SamplingParameters(temperature: 2, seed: seed),
              maxTokens: 60, constraint: constraint))
        }
        // Some are on their way when others come.
        for _ in 0..<9 {
          for case .finished(_, let completion) in try engine.step() { texts.append(completion.text) }
          most = max(most, constraint.stateCount)
        }
      }
      while !engine.isIdle {
        for case .finished(_, let completion) in try engine.step() { texts.append(completion.text) }
      }
      return (texts, most)
    }
    let (expected, unbounded) = try answers(free)
    let (texts, most) = try answers(bounded)
    #expect(texts == expected && texts.count == 120)
    #expect(most * 2 < unbounded, "\(most) of \(unbounded)")
  }

  @Test("States in use by another engine's answers are kept")
  func statesOfOthersAreKept() throws {
    let constraint = try ConstrainedEngineTests.constraint(Grammar(regex: "[a-z]{40}"))
    let other = ConstraintLease(constraint)
    let state = try #require(try constraint.advance(constraint.start, bytes: Array("abc".utf8)))
    constraint.releaseStates(keeping: [])
    #expect(try constraint.canEnd(state) == false)
    withExtendedLifetime(other) {}
  }
}
