"""Why a picture is not drawn, or a report not made."""

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
YEAR_NOT_OPEN: Final = ErrorCode(
    "report_year_not_open",
    404,
    "The programme {programme} was not opened for {year}, so it has no pool of that year; it has of: {open}.",
    "项目 {programme} 未在 {year} 年度开放，没有该年度的资金池；已开放的年度：{open}。",
)
REPORT_PLOT_UNAVAILABLE: Final = ErrorCode(
    "report_plot_unavailable",
    501,
    "This service has no Matplotlib to draw with. Install it beside the service with pip install 'cardhour[plot]', or"
    " read the report with format=json or format=csv.",
    "本服务未安装绘图所需的 Matplotlib。请在服务端执行 pip install 'cardhour[plot]'，"
    "或以 format=json、format=csv 读取报表。",
)
REPORT_PLOT_SLOW: Final = ErrorCode(
    "report_plot_slow",
    503,
    "The picture was not ready within {seconds} s; the service is busy. Try again, or read the report with format=csv.",
    "图片未能在 {seconds} 秒内绘制完成，服务繁忙。请稍后重试，或以 format=csv 读取报表。",
)
