import Basics
import Tensors

/// The one table of tolerances: how far from its Float64 reference a result may lie, as a factor of the
/// reference's magnitude (see ``Reference/Result``).
///
/// `u` is the unit roundoff of Float32, 2⁻²⁴. A sum of K terms in Float32 errs by at most K·u·Σ|terms|, and by
/// about √K·u·Σ|terms| where roundings are independent; the table allows four times that.
public enum Tolerances {
  static let unit = 0x1p-24

  /// Sums of `terms` products in Float32.
  public static func sum(_ terms: Int) -> Double { 4 * unit * Double(max(terms, 1)).squareRoot() }

  /// Plain types are copied exactly. A quantised one is `d·q` or `d·q − m` with both parts within three times
  /// the row's largest element; with or without a fused multiply-add that is 3u, doubled for the scale's
  /// own product (`d · subscale`). Relative to the row's largest element.
  public static func embedding(_ dtype: DType) -> Double { dtype.isQuantized ? 6 * unit : 0 }

  /// In `f32`: the sum's own rounding, plus one rounding of each weight as it is unpacked.
  ///
  /// In `bf16`: weights and activations are each rounded to 8 significant bits, 2⁻⁹ each, so 2⁻⁸·Σ|terms| is
  /// certain. The roundings are independent with a standard deviation under 2⁻⁹ a term, so the sum's is
  /// under 2⁻⁹·√(Σ terms²), which for K terms of similar size is 1.6·2⁻⁹/√K·Σ|terms|; eight of those and a
  /// margin for unequal terms give 2⁻⁵/√K.
  public static func matmul(_ mode: ComputeMode, terms: Int) -> Double {
    switch mode {
    case .f32: sum(terms) + 4 * unit
    // Errors of int8 are measured by the block alone: see ``eightBits(terms:)``.
    case .int8: sum(terms) + 4 * unit
    case .bf16, .lean, .auto: min(0x1p-8, 0x1p-5 / Double(max(terms, 1)).squareRoot()) + sum(terms)
    }
  }

  /// As ``matmul(_:terms:)`` in the mode of that precision; what is added to counts as a term.
  public static func product(_ precision: DType, terms: Int) -> Double {
    matmul(precision == .bf16 ? .bf16 : .f32, terms: terms + 1)
  }

  /// Lean products of quantised weights may round activations to 8 bits per block of 32, int8 products round
  /// activations and weights to 8 bits per block of 64: each is off by at most
  /// max|x|/254 (half a step of max|x|/127), and by 2⁻¹¹·|x| where the step is kept in half precision. So
  /// Σ max|x|·|w|/254 bounds the error; with independent roundings (uniform, standard deviation a √3-th of the
  /// most) the sum is within 8·0.58/√K of that, and 7/√K allows for unequal terms.
  ///
  /// Relative to ``Reference/blockMagnitudes(_:rows:weight:width:block:ofWeights:)``.
  public static func eightBits(terms: Int) -> Double {
    (1.0 / 254 + 0x1p-11) * min(1, 7 / Double(max(terms, 1)).squareRoot())
  }

  /// Half the relative error of the sum of squares, a square root, a division and two products.
  public static func rmsNorm(width: Int) -> Double { sum(width) / 2 + 6 * unit }
  /// The mean's error is measured against |x| + |mean|, the variance's as in ``rmsNorm(width:)``.
  public static func layerNorm(width: Int) -> Double { sum(width) + 8 * unit }
  /// Sine and cosine rounded once from Float64 angles, two products, one sum.
  public static let rope = 4 * unit
  /// Scores are sums over the head, weights pass an exponential good to 16u and a sum over the context.
  /// Over a cache in bfloat16 queries and weights may be rounded to 8 significant bits too, 2⁻⁹ each.
  ///
  /// Over one in int8 (whose own rounding the reference repeats) a query may be rounded to a step of 2⁻¹⁴ of its
  /// largest number, and a chunk's weights to one of 2⁻¹⁶ of the largest, each off by half a step at most. Against
  /// Σ|q·k| the first is 2⁻¹⁵ times largest over mean size, below 16 for the numbers that tests draw; against
  /// Σ|w·v| the second is 2⁻¹⁷ times 64 tokens where one weight stands out. Both are 2⁻¹¹.
  ///
  /// With `halfOperands` (tensor cores) queries and weights are rounded to 11 significant bits, 2⁻¹² each.
  public static func attention(headDim: Int, context: Int, cache: CacheType, halfOperands: Bool = false)
    -> Double
  {
    let codes =
      switch cache {
      case .f32: 0.0
      case .f16: halfOperands ? 0x1p-11 : 0.0
      case .bf16: 0x1p-8
      case .int8: 0x1p-10
      }
    return sum(headDim) + sum(context) + 16 * unit + codes
  }

  /// How far a number of an int8 cache may lie from the one that was stored, by the largest of its group: half a
  /// step of 1/127, and the roundings of scale and product.
  public static let cacheCode = 0.5 / 127 + 8 * unit
  /// As ``attention(headDim:context:cache:)``; in bfloat16 queries and keys are each rounded by at most 2⁻⁸, and so
  /// are weights and values.
  public static func encoderAttention(headDim: Int, length: Int, precision: DType) -> Double {
    attention(headDim: headDim, context: length, cache: .f32) + (precision == .bf16 ? 0x1p-7 : 0)
  }
  /// As ``encoderAttention(headDim:length:precision:)`` with two more products in a row and the log-sum-exp's
  /// rounding; a key head's sums go over the `group` query heads that share it. In bfloat16 a slope has the
  /// roundings of four operands, which with the score's come to 2⁻⁷, and is rounded itself like its factor: 2⁻⁷ more.
  public static func encoderAttentionGradient(headDim: Int, length: Int, group: Int, precision: DType)
    -> Double
  {
    2 * sum(headDim) + sum(length * group) + 32 * unit + (precision == .bf16 ? 0x1p-6 : 0)
  }
  /// Two roundings, and the roundings of rows of quantised tables.
  public static let embeddingSum = 8 * unit
  /// The sum of the rows, and the product with the reciprocal of their number.
  public static func meanPool(length: Int) -> Double { sum(length) + 3 * unit }
  /// Half the relative error of the sum of squares, a square root, a division and a product.
  public static func l2Normalize(width: Int) -> Double { sum(width) / 2 + 6 * unit }
  /// An exponential good to 16u, a division and two products.
  public static let siluMul = 24 * unit
  /// Relative to |x|: an error function or tanh good to 16u.
  public static let gelu = 24 * unit
  /// Relative to the result: an exponential good to 16u, a sum, a difference that keeps at least half of its terms
  /// and a division, or OpenCL's own function, good to 5 units in the last place.
  public static let tanh = 24 * unit
  /// One rounding.
  public static let add = unit
  /// An exponential good to 16u and the sum of the row.
  public static func softmax(width: Int) -> Double { sum(width) + 24 * unit }
  /// Softmax weights below this may be flushed to 0.
  public static let smallestNormal = 0x1p-126
  /// Logits that a penalty touched: one division or product, not always correctly rounded on a GPU.
  public static let penalty = 4 * unit

  /// Absolute error of a logarithm of a sum of exponentials over `width` logits up to `size` (after division
  /// by the temperature): the sum's relative error, and the rounding of numbers of that size.
  public static func logSumExp(width: Int, size: Double) -> Double {
    sum(width) + 16 * unit + 4 * unit * size
  }
  /// Gumbel noise in Float32: two logarithms, each good to a few u of a number below 40, and near u = 1 the
  /// inner one keeps only an absolute precision.
  public static let gumbel = 1e-4

  // MARK: Training

  /// Sums over the row of products of three factors that were each rounded, and half the relative error of the sum
  /// of squares three times.
  public static func normGradient(width: Int) -> Double { 2.5 * sum(width) + 16 * unit }
  /// The sum over rows of terms that hold a normalised element.
  public static func normWeightGradient(rows: Int, width: Int) -> Double {
    sum(rows + 1) + layerNorm(width: width)
  }
  /// Relative to |g|. Exact: Φ good to 16u, and x φ(x) below 1/4 whose exponent is a rounded square, which moves it by
  /// u·|x|³ φ(x), below u. With tanh: σ(2z) good to 16u plus half the rounding of 2z, 3u·2|z| σ(1 − σ), below u, and
  /// 2x·σ(1 − σ)·z', below 1/2, in five products.
  public static let geluGradient = 32 * unit
  /// An exponential good to 16u in two places and five products; 1 − s of an s near 1 is off by u, which gate
  /// multiplies: below 17u where it is not 0, and 0 is right to 10⁻⁷.
  public static let siluMulGradient = 56 * unit
  /// A square, a difference and a product.
  public static let tanhGradient = 4 * unit
  /// A sum over the row, a difference and a product.
  public static func softmaxGradient(width: Int) -> Double { sum(width) + 4 * unit }
  /// The sum over the row, and three times half the error of the sum of squares.
  public static func l2NormalizeGradient(width: Int) -> Double { 2.5 * sum(width) + 12 * unit }
  /// 1 − rate, its reciprocal and a product, or a quotient.
  public static let dropout = 4 * unit
  /// A product and a sum.
  public static let scaling = 2 * unit
  /// z = α (x − θ) with α and the gaps from exponentials good to 16u, which sums of gaps keep; logarithms of 1 + e
  /// and 1 − e⁻ᵐ good to 16u, where m's relative error counts once more.
  public static let ordinalLogits = 64 * unit
  /// As ``ordinalLogits``, and the sum over rows.
  public static func ordinalLogitsGradient(rows: Int) -> Double { sum(rows + 1) + 96 * unit }
  /// Two exponentials and logarithms good to 16u each, and sums over the classes.
  public static func loss(classes: Int) -> Double { sum(classes) + 48 * unit }
  /// Blocks of up to 4096 squares in Float32, and the blocks in Float64.
  public static let sumOfSquares = sum(4096)
  /// Ten roundings: the step's factors, the moments, and on OpenCL a square root and a quotient good to 3 ulp each.
  public static let adamW = 32 * unit
}
