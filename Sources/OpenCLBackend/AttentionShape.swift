/// How attention's kernels are shaped; on GPU-class devices `splitTokens` and `keys` decide the bits of a result, the
/// rest only the speed.
struct AttentionShape: Hashable {
  enum Variant { case portable, tensorCores }

  var variant = Variant.portable
  /// Work-items of a group; of a warp on tensor cores.
  var items: Int
  /// Keys of a tile; on GPU-class devices it divides `splitTokens` and `items`.
  var keys: Int
  /// Tokens of a chunk that a group can take alone.
  var splitTokens: Int
  /// Queries of a group where few belong together (the heads that share a key head), and where many do.
  var narrowQueries: Int
  var wideQueries: Int
  /// Groups from which on a group takes all chunks of its queries instead of one.
  var directGroups: Int
  /// Whether the lightest groups start first. GPUs hand out groups one by one, so that the heaviest come first;
  /// runtimes for processors hand a thread many at once, the first ones up to half of all.
  var startsWithLightest = false

  /// The options of a kernel with `queries` in a tile.
  func options(queries: Int) -> KernelOptions {
    // On tensor cores a warp has 16 queries, so their number gives that of the items.
    (variant == .portable ? "-DITEMS=\(items) " : "")
      + "-DKEYS=\(keys) -DSPLIT=\(splitTokens) -DQUERIES=\(queries) "
  }

  /// Items of a group of `queries`.
  func items(queries: Int) -> Int { variant == .portable ? items : 2 * queries }
}

extension AttentionShape {
  /// For heads of `headDim` of which `group` share a key head, within the device's local memory.
  ///
  /// `tuned` has `SPLIT`, and `ITEMS` for head sizes up to 128.
  static func portable(
    headDim: Int, group: Int, localMemoryBytes: Int, computeUnits: Int, tuned: KernelParameters
  ) -> AttentionShape {
    let small = headDim <= 128
    let keys = small ? 32 : 16
    // Queries, one tile of keys or values, scores, and a few numbers a query, as `attention_tile` lays them out.
    func bytes(_ queries: Int) -> Int {
      let width = (headDim + 3) / 4 * 4
      return 4 * (queries * width + keys * (width + 4) + queries * (keys + 4) + 4 * queries)
    }
    let fitting = [32, 16, 8].first { bytes($0) <= localMemoryBytes - 512 } ?? 4
    return AttentionShape(
      items: small ? tuned["ITEMS"] : 64, keys: keys, splitTokens: tuned["SPLIT"],
      narrowQueries: [4, 8, 16].first { $0 >= group && $0 <= fitting } ?? fitting,
      wideQueries: fitting, directGroups: 2 * computeUnits)
  }

  /// For register tiles on CPU-class devices: an item takes all tokens of up to `queries` queries, and what sequences
  /// share is whole spans of the softmax, which are whole groups of 16 tokens.
  static func lanes(queries: Int, blockSize: Int) -> AttentionShape {
    let endless = Int(Int32.max)
    return AttentionShape(
      items: 1, keys: blockSize % 16 == 0 ? 64 : endless, splitTokens: endless, narrowQueries: queries,
      wideQueries: queries, directGroups: endless, startsWithLightest: true)
  }

  /// For tensor cores: `QUERIES` queries share the tiles of a group in prefill, 16 are a warp alone.
  ///
  /// `bits` has `KEYS` and `SPLIT`, `groups` has `QUERIES`, and `DIRECT_GROUPS` for a compute unit.
  ///
  /// - Returns: nil for head sizes that the kernel does not take.
  static func tensorCores(
    headDim: Int, computeUnits: Int, bits: KernelParameters, groups: KernelParameters
  ) -> AttentionShape? {
    guard headDim % 16 == 0, headDim <= 128 else { return nil }
    return AttentionShape(
      variant: .tensorCores, items: 32, keys: bits["KEYS"], splitTokens: bits["SPLIT"], narrowQueries: 16,
      wideQueries: groups["QUERIES"], directGroups: groups["DIRECT_GROUPS"] * computeUnits)
  }
}
