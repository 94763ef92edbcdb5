"""Why a picture is not drawn."""

from typing import Final

from app.kit.errors import ErrorCode

PLOT_UNAVAILABLE: Final = ErrorCode(
    "plot_unavailable",
    501,
    "This service has no Matplotlib to draw with. Install it beside the service with pip install 'cardhour[plot]', or"
    " download the clearing's instance and certificate and draw them elsewhere with cardhour plot.",
    "本服务未安装绘图所需的 Matplotlib。请在服务端执行 pip install 'cardhour[plot]'，"
    "或下载该清算的 instance 与 certificate，在其他机器上用 cardhour plot 绘制。",
)
PLOT_TOO_LARGE: Final = ErrorCode(
    "plot_too_large",
    422,
    "The picture was not ready within {seconds} s. Download the clearing's instance and certificate and draw them with"
    " cardhour plot, which has no such limit.",
    "图片未能在 {seconds} 秒内绘制完成。请下载该清算的 instance 与 certificate，用没有时间限制的 cardhour plot 绘制。",
)
