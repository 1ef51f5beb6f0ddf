extension Engine {
  /// Counts since the engine's start, and the state of its cache.
  public struct Statistics: Sendable, Hashable {
    public let steps: Int
    /// Tokens run in prefill, those appended without sampling and those computed again included.
    public let prefillTokens: Int
    /// Tokens run one by one behind a sampled one.
    public let decodeTokens: Int
    /// Prompt tokens run for the first time; with the cached ones, all prompt tokens that were needed.
    public let computedPromptTokens: Int
    /// Prompt tokens that were in the cache when first needed.
    public let cachedPromptTokens: Int
    /// Tokens run again: after preemption, or from the start of a shared block that a sequence left midway.
    public let recomputedTokens: Int
    /// Times that a sequence gave its blocks back to an older one.
    public let preemptions: Int
    public let blocks: Blocks

    /// The cache's blocks.
    public struct Blocks: Sendable, Hashable {
      public let total: Int
      /// Held by sequences now.
      public let held: Int
      /// Held by more than one sequence now.
      public let shared: Int
      /// Held by none now, but with content that a prompt may find.
      public let idle: Int
      /// The largest number held at once.
      public let mostHeld: Int
      /// Idle blocks whose content was given up for new content, since the start.
      public let evicted: Int
    }
  }
}

extension Engine.Statistics {
  /// The counts of several engines together.
  public static func sum(_ all: [Engine.Statistics]) -> Engine.Statistics {
    func sum(_ field: (Engine.Statistics) -> Int) -> Int { all.reduce(0) { $0 &+ field($1) } }
    return Engine.Statistics(
      steps: sum(\.steps), prefillTokens: sum(\.prefillTokens), decodeTokens: sum(\.decodeTokens),
      computedPromptTokens: sum(\.computedPromptTokens), cachedPromptTokens: sum(\.cachedPromptTokens),
      recomputedTokens: sum(\.recomputedTokens), preemptions: sum(\.preemptions),
      blocks: Blocks(
        total: sum(\.blocks.total), held: sum(\.blocks.held), shared: sum(\.blocks.shared),
        idle: sum(\.blocks.idle), mostHeld: sum(\.blocks.mostHeld), evicted: sum(\.blocks.evicted)))
  }
}
