extension Reference {
  /// `x Wᵀ + bias`: x `[rows, K]`, weight `[N, K]`; magnitudes are Σ|x·w| + |bias|.
  public static func matmul(_ x: [Double], rows: Int, weight: [Double], width: Int, bias: [Double]? = nil)
    -> Result
  {
    let outputs = weight.count / width
    var result = Result(count: rows * outputs)
    x.withUnsafeBufferPointer { x in
      weight.withUnsafeBufferPointer { weight in
        for row in 0..<rows {
          for output in 0..<outputs {
            let (left, right) = (row &* width, output &* width)
            var sum = bias?[output] ?? 0
            var magnitude = sum.magnitude
            var k = 0
            while k < width {
              let term = x[left &+ k] * weight[right &+ k]
              sum += term
              magnitude += term.magnitude
              k &+= 1
            }
            result.values[row &* outputs &+ output] = sum
            result.magnitudes[row &* outputs &+ output] = magnitude
          }
        }
      }
    }
    return result
  }

  /// Per output Σ over blocks of inputs of max|x| · Σ|w|: the size that errors of activations rounded to
  /// 8 bits per block are measured against. With `ofWeights`, Σ|x| · max|w|: the same for weights.
  public static func blockMagnitudes(
    _ x: [Double], rows: Int, weight: [Double], width: Int, block size: Int, ofWeights: Bool = false
  ) -> [Double] {
    let blocks = (width + size - 1) / size
    func folded(_ values: [Double], _ fold: (ArraySlice<Double>) -> Double) -> [Double] {
      (0..<values.count / width).flatMap { row in
        (0..<blocks).map { block in
          fold(values[(row * width + block * size)..<(row * width + min(width, (block + 1) * size))])
        }
      }
    }
    func largest(_ values: ArraySlice<Double>) -> Double { values.reduce(0) { max($0, $1.magnitude) } }
    func sum(_ values: ArraySlice<Double>) -> Double { values.reduce(0) { $0 + $1.magnitude } }
    return matmul(
      folded(x, ofWeights ? sum : largest), rows: rows, weight: folded(weight, ofWeights ? largest : sum),
      width: blocks
    ).values
  }
}
