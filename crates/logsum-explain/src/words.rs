//! The words of an explanation, in each language.

use crate::derivation::{Case, Reason};
use crate::explanation::{Derivation, Explanation, Setting};
use crate::notation::Notation;

/// The languages of explanations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// 中文.
    Chinese,
}

/// Names of the three ways to compute the value.
pub(crate) struct Words {
    pub(crate) tag: &'static str,
    pub(crate) title: &'static str,
    pub(crate) steps: &'static str,
    pub(crate) formula: &'static str,
    pub(crate) value: &'static str,
    pub(crate) digits: &'static str,
    pub(crate) all_digits: &'static str,
    pub(crate) gradient: &'static str,
    naive: &'static str,
    shifted: &'static str,
    nearest: &'static str,
}

const ENGLISH: Words = Words {
    tag: "en",
    title: "The gradient of log-sum-exp",
    steps: "The value, step by step",
    formula: "computed in f64",
    value: "value",
    digits: "correct digits",
    all_digits: "all",
    gradient: "The gradient: softmax",
    naive: "as it is written",
    shifted: "with the maximum taken out",
    nearest: "correctly rounded",
};

const CHINESE: Words = Words {
    tag: "zh",
    title: "LogSumExp 的梯度",
    steps: "逐步求值",
    formula: "用 f64 计算",
    value: "值",
    digits: "十进制正确位数",
    all_digits: "全部",
    gradient: "梯度就是 softmax",
    naive: "照公式直接算",
    shifted: "先减去最大值",
    nearest: "正确舍入",
};

impl Language {
    pub(crate) fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }

    fn pick(self, english: String, chinese: String) -> String {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }

    /// A remark on the numbers: about a tie, or about the convention for special cases.
    pub(crate) fn remark(self, explanation: &Explanation) -> Option<String> {
        let name = |index: usize| Notation::Text.number(index);
        Some(match explanation.setting() {
            Setting::Finite(places) if places.len() > 1 => {
                let shown: Vec<_> = places.iter().take(6).map(|&place| name(place)).collect();
                let more = if places.len() > 6 { ", …" } else { "" };
                let (list, first) = (shown.join(", "), name(places[0]));
                self.pick(
                    format!(
                        "{list}{more} tie for the maximum. Any of them may stand for it; {first} does. The maximum has \
                         no derivative at a tie, but LSE has: the maximum that is subtracted is added again, so the \
                         choice has no influence, and equal numbers have equal derivatives."
                    ),
                    format!(
                        "{list}{more} 同为最大值。取其中哪一个作最大值都可以，这里取 {first}。并列处最大值本身不可导，\
                         而 LSE 可导：减去的最大值随后又加回来，所以取哪一个都不影响结果，相等的数的偏导数也相等。"
                    ),
                )
            }
            Setting::Finite(_) if explanation.underflows() => self.pick(
                "The exact value is not 0, but so near to it that the nearest number of f64 is 0: f64 can \
                 represent none of its digits."
                    .into(),
                "精确值并不是 0，只是离 0 太近，最接近的 f64 就是 0：f64 表示不了它的任何一位有效数字。".into(),
            ),
            Setting::Finite(_) => return None,
            Setting::NoMass => self.pick(
                "There is no mass: every term e^z is 0. The value is log 0 = −∞. Every quotient e^z/Σ would be 0/0; the \
                 convention is a gradient of 0, since nothing that is added to −∞ makes a difference."
                    .into(),
                "没有概率质量：每一项 e^z 都是 0，值为 log 0 = −∞。商 e^z/Σ 都成了 0/0；约定梯度为 0，因为 −∞ 加上任何有限的数都不变。".into(),
            ),
            Setting::Infinite(1) => self.pick(
                "The maximum is +∞, and outweighs all else: the value is +∞. At +∞ the quotient e^z/Σ would be \
                 ∞/∞; the convention is the limit of the gradient as this number grows: 1 at +∞, 0 elsewhere."
                    .into(),
                "最大值是 +∞，其余各项与之相比可以忽略：值为 +∞。+∞ 处的商 e^z/Σ 成了 ∞/∞；\
                 约定梯度取这个数趋于 +∞ 时的极限：+∞ 处为 1，其余为 0。"
                    .into(),
            ),
            Setting::Infinite(count) => self.pick(
                format!(
                    "The maximum is +∞, {count} times, and outweighs all else: the value is +∞. At each +∞ the \
                     quotient e^z/Σ would be ∞/∞; the convention is the limit of the gradient as these equal numbers \
                     grow together: 1/{count} at each +∞, 0 elsewhere."
                ),
                format!(
                    "最大值是 +∞，出现 {count} 次，其余各项与之相比可以忽略：值为 +∞。+∞ 处的商 e^z/Σ 成了 ∞/∞；\
                     约定梯度取这些相等的数一同趋于 +∞ 时的极限：每个 +∞ 处为 1/{count}，其余为 0。"
                ),
            ),
            Setting::NotANumber => self.pick(
                "There is a NaN among the numbers: it stands for no number, so the value and the whole gradient are NaN."
                    .into(),
                "数中有 NaN：它不代表任何确定的数，所以值和整个梯度都是 NaN。".into(),
            ),
        })
    }

    /// The three ways to compute the value, and their formulas.
    pub(crate) fn attempts(self, notation: Notation) -> [(&'static str, &'static str); 3] {
        let Words { naive, shifted, nearest, .. } = self.words();
        match notation {
            Notation::Text => [("log Σₖ e^zₖ", naive), ("log Σₖ e^ẑₖ + max z", shifted), ("logsum", nearest)],
            Notation::Tex => [
                (r"\log \sum_k e^{z_k}", naive),
                (r"\log \sum_k e^{\hat z_k} + \max z", shifted),
                (r"\text{logsum}", nearest),
            ],
        }
    }

    pub(crate) fn case(self, Derivation { case, index, is_tied, .. }: &Derivation) -> String {
        let index = index + 1;
        match case {
            Case::Other if *is_tied => self.pick(
                format!("Case i ≠ j, for i = {index}: another number stands for the maximum"),
                format!("情形 i ≠ j，取 i = {index}：取作最大值的是另一个数"),
            ),
            Case::Other => self.pick(
                format!("Case i ≠ j, for i = {index}: another number is the maximum"),
                format!("情形 i ≠ j，取 i = {index}：最大值是另一个数"),
            ),
            Case::Maximum => self.pick(
                format!("Case i = j = {index}: zᵢ is the maximum itself"),
                format!("情形 i = j = {index}：zᵢ 就是最大值"),
            ),
        }
    }

    pub(crate) fn checked(self, Derivation { digits, bits, leaves_out, .. }: &Derivation) -> String {
        let [digits, in_chinese] = match digits.is_infinite() {
            true => ["all".into(), "全部数字".into()],
            false => {
                [format!("at least {:.0}", digits.floor()), format!("至少 {:.0} 位数字", digits.floor())]
            }
        };
        let [but, in_chinese_but] = match leaves_out {
            true => [
                " Terms below e^-800 of the greatest e^ẑ count as 0.",
                "比最大的 e^ẑ 的 e^-800 倍还小的项都当作 0。",
            ],
            false => ["", ""],
        };
        self.pick(
            format!(
                "Checked: each line equals the one above it to {digits} digits, in arithmetic of {bits} bits, where every ∂ \
                 is a difference quotient, which uses no rules of differentiation.{but}"
            ),
            format!(
                "已核对：每一行与上一行{in_chinese}相同（以 {bits} 位二进制精度计算，其中每个 ∂ 都是差商，不用任何求导法则）。\
                 {in_chinese_but}"
            ),
        )
    }

    /// The conclusion from both cases, if there are both.
    pub(crate) fn conclusion(self, explanation: &Explanation) -> Option<String> {
        let conclusion = || {
            self.pick(
                "Both cases give the same result, e^ẑᵢ/S = e^zᵢ/Σₖ e^zₖ, element i of the softmax, as e^max z cancels. \
                 Subtracting the maximum only moves the numbers to where exponentials do not overflow, and leaves no \
                 trace in the gradient."
                    .into(),
                "两种情形的结果相同，都是 e^ẑᵢ/S；约去公因子 e^max z，就是 e^zᵢ/Σₖ e^zₖ，即 softmax 的第 i 个分量。\
                 减去最大值只是把各数平移到指数函数不会溢出的范围，在梯度里不留痕迹。"
                    .into(),
            )
        };
        (explanation.derivations().len() > 1).then(conclusion)
    }

    pub(crate) fn reason(self, reason: Reason) -> &'static str {
        let [english, chinese] = match reason {
            Reason::Question => ["", ""],
            Reason::TwoPaths => ["the chain rule: two paths lead to zᵢ", "链式法则：有两条路径通向 zᵢ"],
            Reason::MaximumElsewhere => [
                "the path through the maximum gives 0: max z is zⱼ",
                "经过最大值的路径的贡献为 0：max z 是 zⱼ",
            ],
            Reason::MaximumItself => [
                "the path through the maximum gives 1: max z is zᵢ",
                "经过最大值的路径的贡献为 1：max z 就是 zᵢ",
            ],
            Reason::LogarithmAndSum => {
                ["the logarithm's derivative; the sum's, term by term", "对数求导；和式逐项求导"]
            }
            Reason::Exponential => ["the exponential is its own derivative", "指数函数的导数是它自己"],
            Reason::OnlyItself => [
                "only ẑᵢ depends on zᵢ: [k = i] is 1 or 0",
                "只有 ẑᵢ 依赖 zᵢ：k = i 时 [k = i] 为 1，否则为 0",
            ],
            Reason::OneTerm => ["one term of the sum is left", "和式只剩一项"],
            Reason::AgainstTheOthers => {
                ["ẑᵢ stays 0; every other ẑₖ falls as zᵢ rises", "ẑᵢ 始终为 0；zᵢ 增大时其余 ẑₖ 都减小"]
            }
            Reason::CommonDenominator => ["1 is the sum divided by itself", "1 等于和式除以自身"],
            Reason::OthersCancel => ["the others cancel, and e^ẑᵢ is left", "其余各项抵消，只剩 e^ẑᵢ"],
        };
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }
}

impl Words {
    /// A number of correct digits as text.
    pub(crate) fn count(&self, digits: f64) -> String {
        if digits.is_infinite() { self.all_digits.into() } else { format!("{digits:.1}") }
    }
}
